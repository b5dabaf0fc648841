//! Tests of the whole: `house` holds the repository to what its documents say, `process` runs the real binary.

#[cfg(test)]
mod house;
#[cfg(test)]
mod process;
