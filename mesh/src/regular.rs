//! Files that are read whole.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file to read it, if it is a regular one: to open or read a pipe may take for ever, and
/// nobody could end the process in good order meanwhile.
///
/// # Errors
/// The operating system's, and [`InvalidInput`](io::ErrorKind::InvalidInput) for anything that is
/// no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let is_regular = |metadata: std::fs::Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    };
    is_regular(std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    is_regular(file.metadata()?)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let refused = open_regular(&std::env::temp_dir()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(refused.to_string(), "it is not a regular file");
        let missing = std::env::temp_dir().join(format!("ampmesh-{}", uuid::Uuid::new_v4()));
        assert_eq!(open_regular(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&missing, "x").unwrap();
        let opened = open_regular(&missing);
        std::fs::remove_file(&missing).unwrap();
        assert!(opened.is_ok());
    }
}
