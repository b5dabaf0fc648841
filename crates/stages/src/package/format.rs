//! Which format a model has, from its bytes. What it is called plays no part.

use domain::evidence::Text;

use super::{Stop, pickle, refuse};

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Onnx,
    Safetensors,
    Gguf,
    Zip,
    Tar,
    /// Squeezed: what is inside is not looked at.
    Compressed,
    Hdf5,
    Numpy,
    TfLite,
}

impl Format {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::Safetensors => "safetensors",
            Self::Gguf => "gguf",
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::Compressed => "compressed",
            Self::Hdf5 => "hdf5",
            Self::Numpy => "numpy",
            Self::TfLite => "tflite",
        }
    }
}

/// Tells the format, and refuses whatever would be unpickled by somebody.
pub(super) fn detect(bytes: &[u8]) -> Result<Format, Stop> {
    if bytes.is_empty() {
        return Err(refuse("MODEL_UNREADABLE", "the artifact is empty"));
    }
    if let Some(found) = pickle::look(bytes) {
        return Err(found.into_stop("the artifact"));
    }
    let format = by_magic(bytes);
    if format == Some(Format::Zip)
        && let Some((member, found)) = pickle::look_into_zip(bytes)
    {
        return Err(found.into_stop(&format!("the member `{member}` of the archive")));
    }
    // Protobuf has no magic: what is nothing else is read as ONNX, which says whether it is one.
    Ok(format.unwrap_or(Format::Onnx))
}

/// Holds the format against what was declared, and against what the workflow packs.
pub(super) fn allow(found: Format, declared: Option<&str>, allowed: &[Text]) -> Result<(), Stop> {
    let found_name = found.as_str();
    if !allowed.iter().any(|format| &**format == found_name) || found != Format::Onnx {
        let allowed: Vec<&str> = allowed.iter().map(|format| &**format).collect();
        let text = format!("expected one of {}, but the bytes are {found_name}", allowed.join(", "));
        return Err(refuse("FORMAT_NOT_ALLOWED", text));
    }
    match declared {
        Some(declared) if declared != found_name => {
            let text = format!("expected {declared} as declared, but the bytes are {found_name}");
            Err(refuse("FORMAT_MISMATCH", text))
        }
        _ => Ok(()),
    }
}

fn by_magic(bytes: &[u8]) -> Option<Format> {
    const STARTS: [(&[u8], Format); 12] = [
        (b"GGUF", Format::Gguf),
        (b"PK\x03\x04", Format::Zip),
        (b"PK\x05\x06", Format::Zip),
        (b"\x1f\x8b", Format::Compressed),
        (b"BZh", Format::Compressed),
        (b"\xfd7zXZ\0", Format::Compressed),
        (b"\x28\xb5\x2f\xfd", Format::Compressed),
        (b"\x04\x22\x4d\x18", Format::Compressed),
        (b"\x78\x9c", Format::Compressed),
        (b"\x78\xda", Format::Compressed),
        (b"\x89HDF\r\n\x1a\n", Format::Hdf5),
        (b"\x93NUMPY", Format::Numpy),
    ];
    let by_start = STARTS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, format)| *format);
    by_start.or_else(|| {
        if bytes.get(257..262) == Some(b"ustar") {
            Some(Format::Tar)
        } else if bytes.get(4..8) == Some(b"TFL3") {
            Some(Format::TfLite)
        } else if is_safetensors(bytes) {
            Some(Format::Safetensors)
        } else {
            None
        }
    })
}

/// The length of a JSON header, then the header.
fn is_safetensors(bytes: &[u8]) -> bool {
    const HEADER_BYTES_MAX: u64 = 100 << 20;
    let Some(length) = bytes.first_chunk::<8>() else { return false };
    let length = u64::from_le_bytes(*length);
    (2..=HEADER_BYTES_MAX).contains(&length) && bytes.get(8) == Some(&b'{')
}
