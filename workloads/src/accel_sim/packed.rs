//! Opens a text file, packed or not.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::sass::SassError;

/// Bytes read ahead of decompression.
const BUFFER_BYTES: usize = 64 << 10;

/// Opens a file for reading lines; one that ends in `.xz` or `.zst` is unpacked on the way.
///
/// # Errors
/// The file cannot be opened.
pub fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, SassError> {
    let name = path.display().to_string();
    let error = |error: std::io::Error| {
        SassError::new(&name, 0, format!("cannot be read: {error}"), "give the path of a trace, plain, .xz or .zst")
    };
    let file = BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(error)?);
    Ok(match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => {
            let unpacked = liblzma::bufread::XzDecoder::new_multi_decoder(file);
            Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked))
        }
        Some("zst") => {
            let unpacked = zstd::stream::read::Decoder::with_buffer(file).map_err(error)?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked))
        }
        _ => Box::new(file),
    })
}
