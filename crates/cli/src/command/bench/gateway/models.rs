//! The models that are served, the split between them, and the requests.

use std::io;
use std::path::Path;

use domain::model::Release;
use domain::name::{Digest, TargetId, Version};
use domain::routes::{Generation, Route, RouteTable, Sticky};
use domain::weight::Weight;
use model_server::{Limits, Server};

pub(super) const MODEL: &str = "flights-late";
pub(super) const TARGET: &str = "flights-late@production";
/// The header that keeps a caller with one release, at all who split.
pub(super) const STICKY: &str = "x-unit";
/// The candidate's share, in basis points.
pub(super) const CANDIDATE: u16 = 1_000;

const FEATURES: usize = 18;
/// Requests that are made before and sent again and again, each time with another id.
const REQUESTS: usize = 4_096;
/// Digits of the part of an id that changes.
pub(super) const NUMBER_DIGITS: usize = 12;

/// Two releases of one shape and cost, so that the split changes nothing for the model server.
#[derive(Debug, Clone)]
pub(super) struct Models {
    pub(super) stable: Digest,
    pub(super) candidate: Digest,
    files: [Vec<u8>; 2],
}

impl Models {
    pub(super) fn read(examples: &Path) -> io::Result<Self> {
        let read = |name: &str| std::fs::read(examples.join("models").join(name));
        let files = [read("v2.onnx")?, read("v3.onnx")?];
        let [stable, candidate] = files.each_ref().map(|bytes| Digest::of(bytes));
        Ok(Self { stable, candidate, files })
    }

    /// A model server that has both loaded.
    pub(super) fn server(&self) -> io::Result<Server> {
        let server = Server::new(Limits::default());
        for (bytes, bundle) in self.files.iter().zip([self.stable, self.candidate]) {
            server.load(MODEL, &bundle.hex(), bytes, None).map_err(io::Error::other)?;
        }
        Ok(server)
    }

    /// A table that gives the candidate so much.
    pub(super) fn table(&self, generation: u64, candidate: u16) -> io::Result<RouteTable> {
        let release = |version: &str, bundle| -> io::Result<Release> {
            Ok(Release { version: Version::parse(version).map_err(io::Error::other)?, bundle, run: None })
        };
        let weight =
            |points| Weight::basis_points(points).ok_or_else(|| io::Error::other("a share is too much"));
        let (stable, other) = (release("v2", self.stable)?, release("v3", self.candidate)?);
        Ok(RouteTable {
            target: target()?,
            generation: Generation(generation),
            routes: vec![
                Route { release: stable.clone(), weight: weight(10_000 - candidate)? },
                Route { release: other, weight: weight(candidate)? },
            ],
            stable: Some(stable),
            sticky: Sticky::Header(STICKY.into()),
        })
    }

    /// Where the model server has the release.
    pub(super) fn path(bundle: Digest) -> String {
        format!("/v2/models/{MODEL}/versions/{}/infer", bundle.hex())
    }
}

pub(super) fn target() -> io::Result<TargetId> {
    TargetId::parse(TARGET).map_err(io::Error::other)
}

/// A request but for its first line, and where the digits of its number stand.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) text: Vec<u8>,
    pub(super) number_at: usize,
}

/// Requests of real flights, each with so many rows.
pub(super) fn requests(examples: &Path, rows: usize) -> io::Result<Vec<Asked>> {
    let file = std::fs::File::open(examples.join("traffic.csv.gz"))?;
    let text = io::read_to_string(flate2::read::GzDecoder::new(file))?;
    let lines: Vec<&str> = text.lines().skip(1).take(REQUESTS).collect();
    if lines.is_empty() {
        return Err(io::Error::other("there is no traffic"));
    }
    let row =
        |line: &str| line.splitn(FEATURES + 3, ',').skip(2).take(FEATURES).collect::<Vec<_>>().join(",");
    let request = |at: usize| {
        let taken = lines.iter().cycle().skip(at).take(rows);
        let data = taken.map(|line| row(line)).collect::<Vec<_>>().join(",");
        let unit = lines[at].split(',').nth(1).unwrap_or_default();
        let begin = format!("{{\"id\":\"{unit}-");
        let body = format!(
            "{begin}{:0NUMBER_DIGITS$}\",\"inputs\":[{{\"name\":\"features\",\"shape\":[{rows},{FEATURES}],\
             \"datatype\":\"FP32\",\"data\":[{data}]}}]}}",
            0
        );
        let head = format!(
            "host: flights\r\ncontent-type: application/json\r\n{STICKY}: {unit}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Asked { number_at: head.len() + begin.len(), text: (head + &body).into_bytes() }
    };
    Ok((0..lines.len()).map(request).collect())
}
