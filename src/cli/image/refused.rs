//! The failure of a command about images.

use crate::adapters::image::ImageError;
use crate::cli::exit::{Exit, Failure};

/// Returns the failure with its exit code and its remedy.
pub(super) fn refused(error: ImageError) -> Failure {
    let exit = match &error {
        ImageError::Recipe(_) => Exit::Usage,
        ImageError::Locked(_) => Exit::Locked,
        _ => Exit::RunnerHost,
    };
    let remedy = error.remedy();
    Failure::new(exit, error).remedy(remedy)
}
