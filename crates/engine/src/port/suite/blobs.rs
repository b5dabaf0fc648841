//! The contract of [`Blobs`].

use domain::name::Digest;

use crate::port::blobs::{Blobs, Error};

pub fn blobs<B: Blobs>(fresh: impl Fn() -> B) {
    let blobs = fresh();
    let digest = blobs.put(b"abc").expect("put works");
    assert_eq!(digest, Digest::of(b"abc"), "1: named by its SHA-256");
    assert_eq!(blobs.get(digest).expect("get works"), b"abc", "1: exactly the bytes");
    assert_eq!(blobs.put(b"abc").expect("put works"), digest, "2: the same again");
    assert_eq!(blobs.get(digest).expect("get works"), b"abc", "2: nothing changed");
    assert!(blobs.contains(digest).expect("contains works"), "1: contained");

    let part = blobs.put_part(b"a part").expect("put of a part works");
    assert_eq!(part, Digest::of(b"a part"), "6: named as any other");
    assert_eq!(blobs.get(part).expect("get works"), b"a part", "6: there at once");

    let absent = Digest::of(b"never put");
    assert!(
        matches!(blobs.get(absent), Err(Error::Missing(of)) if of == absent),
        "4: missing, never a guess"
    );
    assert!(!blobs.contains(absent).expect("contains works"), "4: not contained");

    let empty = blobs.put(b"").expect("put of nothing works");
    assert_eq!(blobs.get(empty).expect("get works"), b"", "1: no bytes are bytes too");
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let digest = blobs.put(&large).expect("put works");
    assert!(blobs.get(digest).expect("get works") == large, "1: large ones too");
}
