//! The messages of `proto/modelrail/v1`, as `prost` writes them. Committed, so that nobody needs `protoc`, and
//! compared with the `.proto` files by a test.
//!
//! To change one: edit the `.proto` file, then `MODELRAIL_REGENERATE=1 cargo test -p wire generated`.

#[allow(clippy::all, clippy::pedantic, reason = "written by prost")]
pub mod v1 {
    include!("modelrail.v1.rs");
}

#[cfg(test)]
mod tests;
