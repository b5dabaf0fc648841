//! Tests of the whole: `house` holds the repository to what its documents say.

#[cfg(test)]
mod house;
