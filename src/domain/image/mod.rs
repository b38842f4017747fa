//! Images of virtual machines: their recipe, their manifest, and the rules about them.

mod c_library;
mod dependencies;
pub mod guest;
mod manifest;
pub mod part;
mod pruning;
mod recipe;

pub use c_library::{CLibrary, needed_by};
pub use dependencies::{Lack, lacks};
pub use manifest::{FORMAT, ImageFile, ImageName, Manifest, Package, installed};
pub use pruning::{Candidate, superfluous};
pub use recipe::{Recipe, RecipeError, Suite};
