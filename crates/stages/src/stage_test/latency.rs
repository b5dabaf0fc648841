//! `latency`: open-loop load, as production has it: requests come when they come, not when the last one is done.
//!
//! **Invariant:** a latency counts from the moment at which its request was meant to be sent. A server that stalls is
//! charged for all who would have waited (no coordinated omission), and so is a generator that was late, which is
//! said by a finding.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use domain::check::{Check, Kind, latency};
use domain::evidence::{Arm, Measurement};

use super::{Seen, Subject};
use crate::evidence::{finding, set};
use crate::latencies::Latencies;
use crate::sample;
use crate::trouble::Trouble;

const METHOD: &str = "latency-open-loop/1";
/// Requests of one check, whatever the workflow asks for.
const REQUESTS_MAX: u64 = 500_000;
/// How much longer than asked sending may take before the generator counts as late.
const OVERRUN_SHARE_MAX: f64 = 0.1;
/// As above, for short loads.
const OVERRUN_MIN: Duration = Duration::from_millis(250);
/// Requests sent before the load, unmeasured: connections are made and caches warm.
const WARM_UP: u64 = 20;

/// What all senders saw together.
#[derive(Debug, Default)]
struct Load {
    latencies: Latencies,
    errors: u64,
    /// When the last request began, since the first was meant to.
    last_sent: Duration,
    trouble: Option<Trouble>,
}

pub(super) fn measure(subject: &Subject<'_>, check: &Check) -> Result<Seen, Trouble> {
    let Kind::Latency(asked) = &check.kind else { return Ok(Seen::default()) };
    let mut seen = Seen::default();
    let wanted = (asked.rate_per_second * asked.for_ms as f64 / 1_000.0).round();
    if !(wanted >= 1.0 && wanted <= REQUESTS_MAX as f64) {
        let text = format!("expected a load of 1 to {REQUESTS_MAX} requests, but it is {wanted}");
        seen.findings.push(finding(&check.name, "LOAD_UNFIT", text));
        return Ok(seen);
    }
    let body = sample::request(&subject.bundle.signature, "latency", 1).to_string().into_bytes();
    for _ in 0..WARM_UP {
        subject.client.infer_bytes(body.clone())?;
    }
    let load = generate(subject, &body, wanted as u64, asked.rate_per_second);
    if let Some(trouble) = load.trouble {
        return Err(trouble);
    }

    let mut measurement = Measurement::new(check.name.clone(), METHOD, Arm::Candidate);
    load.latencies.write(&mut measurement);
    set(&mut measurement, "errors", load.errors as f64);
    let rate = wanted / load.last_sent.as_secs_f64().max(asked.for_ms as f64 / 1_000.0);
    set(&mut measurement, "rate_per_second", rate);
    seen.measurements.push(measurement);
    if load.errors > 0 {
        let text = format!("{} of {wanted} requests got no good answer", load.errors);
        seen.findings.push(finding(&check.name, "LOAD_ERRORS", text));
    }
    let meant = Duration::from_millis(asked.for_ms);
    let allowed = meant + OVERRUN_MIN.max(meant.mul_f64(OVERRUN_SHARE_MAX));
    if load.last_sent > allowed {
        let text = format!(
            "expected to send {wanted} requests within {} ms, but it took {} ms ({rate:.0} a second)",
            asked.for_ms,
            load.last_sent.as_millis()
        );
        seen.findings.push(finding(&check.name, latency::LOAD_NOT_KEPT, text));
    }
    Ok(seen)
}

fn generate(subject: &Subject<'_>, body: &[u8], wanted: u64, rate_per_second: f64) -> Load {
    let (client, senders) = (subject.client, subject.workers.config.test.senders.max(1));
    let (next, load, stop) = (AtomicU64::new(0), Mutex::new(Load::default()), AtomicU64::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..senders {
            scope.spawn(|| {
                let mut own = Load::default();
                while stop.load(Ordering::Relaxed) == 0 {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= wanted {
                        break;
                    }
                    let intended = start + Duration::from_secs_f64(index as f64 / rate_per_second);
                    thread::sleep(intended.saturating_duration_since(Instant::now()));
                    own.last_sent = own.last_sent.max(start.elapsed());
                    match client.infer_for_load(body) {
                        Ok(true) => {}
                        Ok(false) => own.errors += 1,
                        Err(trouble) => {
                            stop.store(1, Ordering::Relaxed);
                            own.trouble = Some(trouble);
                        }
                    }
                    own.latencies.add(intended.elapsed().as_micros() as u64);
                }
                load.lock().expect("no panic while the load is held").join(own);
            });
        }
        // On this thread: whether the work is still wanted.
        while next.load(Ordering::Relaxed) < wanted && stop.load(Ordering::Relaxed) == 0 {
            if let Err(trouble) = subject.attempt.still_wanted() {
                stop.store(1, Ordering::Relaxed);
                load.lock().expect("no panic while the load is held").trouble = Some(trouble);
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    load.into_inner().expect("no panic while the load is held")
}

impl Load {
    fn join(&mut self, other: Self) {
        self.latencies.join(&other.latencies);
        self.errors += other.errors;
        self.last_sent = self.last_sent.max(other.last_sent);
        self.trouble = self.trouble.take().or(other.trouble);
    }
}
