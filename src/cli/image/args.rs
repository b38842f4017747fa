//! The arguments of `image`.

use crate::adapters::image::Images;
use crate::cli::exit::Failure;
use crate::cli::person::Person;
use crate::cli::session::Session;
use crate::domain::image::Suite;
use crate::domain::text::one_of;
use clap::Subcommand;
use std::path::PathBuf;

/// Arguments of `image`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate image build --runner actions-runner-linux-x64-2.336.0.tar.gz
  jitgate image verify
  jitgate image list
  jitgate image prune --keep 2")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `image`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image from Debian and a runner program
    #[command(
        after_help = "The image has a minimal Debian with ca-certificates, curl, git, jq, tar and xz-utils, the libraries
of the runner program, the account `runner` without rights, the runner program, and this jitgate as
the agent of the guest. It is made by mmdebstrap and sqfstar (Debian packages mmdebstrap and
squashfs-tools), without root if user namespaces are available (package uidmap).

An image is a folder that is named by a hash of its content: the same packages and files give the
same bytes. The new image becomes the current one in one step. Virtual machines that run keep their
image.

The Debian root file system of an earlier build with the same inputs is used again. --no-cache gets
new packages, which is necessary for security updates.

Times of files are not newer than SOURCE_DATE_EPOCH (environment, seconds since 1970; by default
1735689600).

Examples:
  jitgate image build --runner actions-runner-linux-x64-2.336.0.tar.gz
  jitgate image build --runner /opt/actions-runner --with-docker --include make --include g++
  jitgate image build --runner runner.tar.gz --runner-sha256 04a1...e1 --no-cache --json
  jitgate image build --runner /opt/actions-runner --dry-run

Exit codes: 0 the image is the current one; 2 the command line; 6 the image cannot be built;
7 another process builds or removes images."
    )]
    Build(Build),
    /// Compare an image with its manifest, and its runner program with GitHub's releases
    #[command(
        after_help = "Each file is compared with the manifest, and the packages with those that the runner program needs.
GitHub is asked whether it still accepts the release of the runner program; without an answer, the
age of the image counts.

Examples:
  jitgate image verify
  jitgate image verify /var/lib/jitgate/images/8c5f0c1f3a7be0d2 --json

Exit codes: 0 nothing is wrong; 1 at least one finding is a warning or a problem."
    )]
    Verify(Verify),
    /// List images
    #[command(after_help = "Examples:
  jitgate image list
  jitgate image list --images /srv/images --json

Exit codes: 0 the list is printed; 6 the folder cannot be read.")]
    List(List),
    /// Remove old images
    #[command(
        after_help = "The newest images stay, and so do the current one, the configured one (qemu.image), and each one
that a slot uses. The cache keeps the newest root file systems, as many as images, at least one.

Examples:
  jitgate image prune --keep 2
  jitgate image prune --keep 0 --dry-run --json

Exit codes: 0 the others are removed; 6 an image cannot be removed; 7 another process builds or
removes images."
    )]
    Prune(Prune),
}

/// The folder of images.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// Folder of images. By default `images` in the state directory
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
}

impl Place {
    /// Returns the folder.
    pub(super) fn images(&self, session: &Session) -> Result<Images, Failure> {
        let path = match &self.images {
            Some(path) => path.clone(),
            None => {
                let config = session.config()?;
                config.qemu.images(&config.server.state_dir)
            }
        };
        Ok(Images::at(path))
    }
}

/// Arguments of `image build`.
#[derive(Debug, clap::Args)]
pub struct Build {
    /// Runner program: an archive of actions/runner for Linux/x64, or a folder with its content
    #[arg(long, value_name = "PATH")]
    pub runner: PathBuf,
    /// Expected sha256 of the archive, from the release page of actions/runner
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    pub runner_sha256: Option<String>,
    /// Debian release: bookworm or trixie
    #[arg(long, value_name = "SUITE", default_value = "bookworm", value_parser = suite)]
    pub suite: Suite,
    /// Debian archive: a URL, or a line of sources.list that begins with `deb `. Can be repeated. By default Debian's own
    /// archives with security updates
    #[arg(long, value_name = "URL")]
    pub mirror: Vec<String>,
    /// Add Docker, which the agent starts before the runner program
    #[arg(long)]
    pub with_docker: bool,
    /// Further Debian package. Can be repeated
    #[arg(long, value_name = "PKG")]
    pub include: Vec<String>,
    /// jitgate of the guest. By default this program
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
    /// Get all packages anew
    #[arg(long)]
    pub no_cache: bool,
    /// Print what would be built, without building it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub person: Person,
}

/// Arguments of `image verify`.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Folder of the image. By default qemu.image, otherwise the current image
    #[arg(value_name = "IMAGE")]
    pub image: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `image list`.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `image prune`.
#[derive(Debug, clap::Args)]
pub struct Prune {
    /// Number of images that stay
    #[arg(long, value_name = "N")]
    pub keep: usize,
    #[command(flatten)]
    pub place: Place,
    /// Print what would be removed, without removing it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub person: Person,
}

fn suite(word: &str) -> Result<Suite, String> {
    one_of(&Suite::ALL, Suite::as_str, word)
}

fn sha256(text: &str) -> Result<String, String> {
    let is_digest = text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
    let digest = is_digest.then(|| text.to_ascii_lowercase());
    digest.ok_or_else(|| "expected 64 hexadecimal digits".to_owned())
}
