//! libFuzzer over one of the targets, the one that `FUZZ_TARGET` names. Started by `tests/fuzz.sh`.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

#[path = "../../../crates/cli/src/config/mod.rs"]
#[allow(dead_code, reason = "the command line uses more of it")]
mod config;
mod targets;

static TARGET: OnceLock<targets::Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        targets::find(&name).unwrap_or_else(|| panic!("expected FUZZ_TARGET to be a target, but found `{name}`"))
    });
    target(bytes);
});
