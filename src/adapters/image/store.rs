//! The folder of images: one folder for each, named by its content, and the link `current`. A folder counts as an image only
//! if its manifest has its name, and it gets its name last, in one step.

use super::ImageError;
use super::digest::of_file;
use crate::domain::image::{ImageName, Manifest};
use chrono::{DateTime, Utc};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

/// The name of a manifest in the folder of its image.
pub(super) const MANIFEST: &str = "manifest.json";
const CURRENT: &str = "current";
const CACHE: &str = "cache";
const LOCK: &str = "lock";
/// The beginning of the names of folders that are no images yet, or no more.
const DRAFT: &str = ".draft-";
const REMOVED: &str = ".removed-";

/// A folder of images.
#[derive(Debug, Clone)]
pub struct Images(PathBuf);

/// The exclusive right to change a folder of images. It ends with the value, or with the process.
#[derive(Debug)]
pub struct ImagesLock(#[expect(dead_code, reason = "the lock ends when the file is closed")] File);

/// An image in the folder.
#[derive(Debug, Clone)]
pub struct StoredImage {
    pub name: ImageName,
    pub path: PathBuf,
    pub manifest: Manifest,
    pub built_at: DateTime<Utc>,
    /// True if new virtual machines get this image.
    pub is_current: bool,
}

impl Images {
    /// Returns the folder, which does not have to exist.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the link to the current image.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.0.join(CURRENT)
    }

    /// Returns the path of a root file system in the cache.
    pub(super) fn cached(&self, digest: &str) -> PathBuf {
        self.0.join(CACHE).join(format!("root-{}.tar", &digest[..16]))
    }

    /// Makes the folder and locks it. Everything that a killed build or removal left is removed.
    ///
    /// # Errors
    /// If the folder cannot be made, or another process holds the lock.
    pub fn lock(&self) -> Result<ImagesLock, ImageError> {
        let failed = ImageError::of(&self.0);
        if let Some(parent) = self.0.parent() {
            let private = DirBuilder::new().recursive(true).mode(0o700).create(parent);
            private.map_err(&failed)?;
        }
        // The account of virtual machines reads images.
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&self.0);
        made.map_err(&failed)?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(self.0.join(LOCK));
        let lock = lock.map_err(&failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(ImageError::Locked(self.0.clone())),
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        for entry in fs::read_dir(&self.0).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(DRAFT) || name.starts_with(REMOVED) {
                remove(&entry.path())?;
            }
        }
        Ok(ImagesLock(lock))
    }

    /// Makes a folder for a new image. Only the holder of the lock may call it.
    pub(super) fn draft(&self, _lock: &ImagesLock) -> Result<PathBuf, ImageError> {
        let path = self.0.join(format!("{DRAFT}{}", std::process::id()));
        fs::create_dir(&path).map_err(ImageError::of(&path))?;
        Ok(path)
    }

    /// Moves the files of a draft to their place and makes them the current image.
    pub(super) fn publish(&self, files: &Path, manifest: &Manifest) -> Result<StoredImage, ImageError> {
        let failed = ImageError::of(files);
        let bytes = manifest.to_bytes().map_err(|error| failed(error.into()))?;
        fs::write(files.join(MANIFEST), &bytes).map_err(&failed)?;
        for name in manifest.files.keys().map(String::as_str).chain([MANIFEST]) {
            let file = File::open(files.join(name)).and_then(|file| file.sync_all());
            file.map_err(&failed)?;
        }
        let name = ImageName::of(&bytes);
        let place = self.0.join(name.as_str());
        let old = self.0.join(format!("{REMOVED}{name}"));
        if is_whole(&place, manifest) {
            // The new manifest has the same content and a new time.
            fs::rename(files.join(MANIFEST), place.join(MANIFEST)).map_err(ImageError::of(&place))?;
        } else {
            match fs::rename(&place, &old) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(ImageError::of(&place)(error)),
                _ => {}
            }
            fs::rename(files, &place).map_err(ImageError::of(&place))?;
        }
        let link = self.0.join(format!("{REMOVED}{CURRENT}"));
        let linked = symlink(name.as_str(), &link).and_then(|()| fs::rename(&link, self.current()));
        linked.map_err(ImageError::of(&self.current()))?;
        let synced = File::open(&self.0).and_then(|folder| folder.sync_all());
        synced.map_err(ImageError::of(&self.0))?;
        remove(&old)?;
        self.image(&name).ok_or_else(|| failed(ErrorKind::NotFound.into()))
    }

    /// Returns the images, the newest first.
    ///
    /// # Errors
    /// If the folder exists and cannot be read.
    pub fn list(&self) -> Result<Vec<StoredImage>, ImageError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(ImageError::of(&self.0))?,
        };
        let names = entries
            .flatten()
            .filter_map(|entry| ImageName::parse(entry.file_name().to_str()?));
        let mut images: Vec<StoredImage> = names.filter_map(|name| self.image(&name)).collect();
        images.sort_by(|one, other| {
            other
                .built_at
                .cmp(&one.built_at)
                .then_with(|| one.name.cmp(&other.name))
        });
        Ok(images)
    }

    fn image(&self, name: &ImageName) -> Option<StoredImage> {
        let path = self.0.join(name.as_str());
        let bytes = fs::read(path.join(MANIFEST)).ok()?;
        let current = fs::read_link(self.current()).ok();
        (ImageName::of(&bytes) == *name).then_some(())?;
        Some(StoredImage {
            name: name.clone(),
            manifest: serde_json::from_slice(&bytes).ok()?,
            built_at: fs::metadata(path.join(MANIFEST)).ok()?.modified().ok()?.into(),
            is_current: current.is_some_and(|target| target == Path::new(name.as_str())),
            path,
        })
    }

    /// Removes an image. Only the holder of the lock may call it.
    ///
    /// # Errors
    /// If its files cannot be removed.
    pub fn remove(&self, image: &StoredImage, _lock: &ImagesLock) -> Result<(), ImageError> {
        let gone = self.0.join(format!("{REMOVED}{}", image.name));
        fs::rename(&image.path, &gone).map_err(ImageError::of(&image.path))?;
        remove(&gone)
    }

    /// Removes all root file systems of the cache but the newest `keep`, and returns their paths. With `is_dry` it removes
    /// none.
    ///
    /// # Errors
    /// If the cache cannot be read, or a file cannot be removed.
    pub fn prune_cache(&self, keep: usize, is_dry: bool) -> Result<Vec<PathBuf>, ImageError> {
        let folder = self.0.join(CACHE);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(ImageError::of(&folder))?,
        };
        let dated = entries.flatten().filter_map(|entry| {
            let modified = entry.metadata().ok()?.modified().ok()?;
            Some((modified, entry.path()))
        });
        let mut dated: Vec<_> = dated.collect();
        dated.sort();
        let old: Vec<PathBuf> = dated.into_iter().rev().skip(keep).map(|(_, path)| path).collect();
        if !is_dry {
            old.iter().try_for_each(|path| remove(path))?;
        }
        Ok(old)
    }
}

/// Returns true if all files of an image are there and undamaged.
fn is_whole(place: &Path, manifest: &Manifest) -> bool {
    let mut files = manifest.files.iter();
    files.all(|(name, file)| of_file(&place.join(name)).is_ok_and(|found| found == file.sha256))
}

/// Removes a file or a folder, which does not have to exist.
fn remove(path: &Path) -> Result<(), ImageError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    let removed = if is_folder {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(ImageError::of(path)(error)),
        _ => Ok(()),
    }
}
