//! Probe.
#![allow(dead_code)]
mod config; mod node; mod telemetry; mod demo;
fn main() {
    let cfg = config::Effective::defaults().parse().unwrap();
    stages::http::install_tls();
    let _g = telemetry::start(&cfg.telemetry).unwrap();
    let rt = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let told = demo::Told { data: None, examples: None, seed: 1 };
    if let Err(e) = rt.block_on(demo::tell(&told)) { eprintln!("{e:?}"); std::process::exit(1) }
}
