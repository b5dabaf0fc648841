//! The messages of `proto/modelrail/v1`, as `prost` writes them. Committed, so that nobody needs `protoc`, and
//! compared with the `.proto` files by a test.
//!
//! To change one: edit the `.proto` file, then `MODELRAIL_REGENERATE=1 cargo test -p wire generated`.

#[allow(clippy::all, clippy::pedantic, reason = "written by prost")]
pub mod v1 {
    include!("modelrail.v1.rs");
}

/// A message with the numbers of its fields, each under the field's name; of a `oneof` under the variant's.
pub(crate) trait Tagged {
    type Tags;
    const TAGS: Self::Tags;
}

#[allow(
    dead_code,
    non_snake_case,
    non_camel_case_types,
    reason = "named as `prost` names what they belong to"
)]
mod tags {
    use super::{Tagged, v1};

    macro_rules! tags {
        ($message:ty as $tags:ident { $($field:ident = $number:literal),* }) => {
            pub(crate) struct $tags { $(pub(crate) $field: u32),* }
            impl Tagged for $message {
                type Tags = $tags;
                const TAGS: $tags = $tags { $($field: $number),* };
            }
        };
    }
    include!("tags.rs");
}

#[cfg(test)]
mod tests;
