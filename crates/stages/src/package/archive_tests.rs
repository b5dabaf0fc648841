//! Archives and headers that lie: none is unpacked, so none can write anywhere or become large. Each ends in a code.

use super::{Stop, bounds, format, onnx, pickle};

/// How a member of an archive is described.
#[derive(Default)]
struct Member {
    name: Vec<u8>,
    content: Vec<u8>,
    method: u16,
    flags: u16,
    /// What the header says that it holds once unpacked.
    unpacked: Option<u32>,
    crc: u32,
}

fn member(name: &str, content: &[u8]) -> Member {
    Member { name: name.into(), content: content.to_vec(), ..Member::default() }
}

fn zip(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for it in members {
        bytes.extend_from_slice(b"PK\x03\x04\x14\0");
        for number in [it.flags, it.method, 0, 0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let packed = it.content.len() as u32;
        for number in [it.crc, packed, it.unpacked.unwrap_or(packed)] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&(it.name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&0_u16.to_le_bytes());
        bytes.extend_from_slice(&it.name);
        bytes.extend_from_slice(&it.content);
    }
    bytes
}

/// One entry of a tar archive: its name, and which kind it says that it is.
fn tar(name: &str, kind: u8, link: &str) -> Vec<u8> {
    let mut bytes = vec![0; 1_536];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[100..107].copy_from_slice(b"0006755");
    bytes[156] = kind;
    bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
    bytes[257..263].copy_from_slice(b"ustar\0");
    bytes
}

/// The code that bytes end in, on the way that packaging takes.
fn code(bytes: &[u8]) -> String {
    let looked = || -> Result<(), Stop> {
        let found = format::detect(bytes)?;
        format::allow(found, None, &["onnx".into()])?;
        bounds::check(bytes)?;
        onnx::read(bytes).map(|_| ())
    };
    match looked() {
        Err(Stop::Refused(finding)) => finding.code.to_string(),
        other => panic!("{other:?}"),
    }
}

const PICKLE: &[u8] = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.";

#[test]
fn no_archive_is_taken_whatever_its_entries_are() {
    let plain = |name: &str| zip(&[member(name, b"x")]);
    let many: Vec<Member> = (0..9_999).map(|number| member(&format!("{number}"), b"")).collect();
    let nested = (0..10).fold(b"x".to_vec(), |inner, _| zip(&[member("inner.zip", &inner)]));
    let cases = [
        ("absolute", plain("/etc/passwd")),
        ("upwards", plain("../../outside")),
        ("backslashes", plain("..\\outside")),
        ("twice", zip(&[member("a", b"1"), member("a", b"2")])),
        ("case twins", zip(&[member("a", b"1"), member("A", b"2")])),
        ("many", zip(&many)),
        ("1000:1", zip(&[Member { unpacked: Some(u32::MAX), method: 8, ..member("a", &[0; 64]) }])),
        ("encrypted", zip(&[Member { flags: 1, ..member("a", b"x") }])),
        ("broken CRC", zip(&[Member { crc: 7, ..member("weights.bin", b"x") }])),
        ("nested ten deep", nested),
        ("no UTF-8", zip(&[Member { name: vec![0xff; 8], ..member("", b"x") }])),
        ("a name that is cut off", zip(&[member("weights.bin", b"x")])[..34].to_vec()),
        ("overlapping", [zip(&[member("a", &plain("b"))]), plain("c")].concat()),
        ("the end of a directory only", b"PK\x05\x06".to_vec()),
        ("symlink", tar("link", b'2', "/etc/passwd")),
        ("hardlink", tar("link", b'1', "../outside")),
        ("device", tar("null", b'3', "")),
        ("setuid", tar("tool", b'0', "")),
        ("tar upwards", tar("../outside", b'0', "")),
        ("squeezed", b"\x1f\x8b\x08\0\0\0\0\0\0\0".to_vec()),
    ];
    for (name, bytes) in cases {
        assert_eq!(code(&bytes), "FORMAT_NOT_ALLOWED", "{name}");
    }
}

#[test]
fn more_members_than_are_looked_at_are_not_taken_for_clean() {
    let mut members: Vec<Member> = (0..10_000).map(|number| member(&format!("{number}"), b"")).collect();
    members.push(member("data.pkl", PICKLE));
    assert_eq!(code(&zip(&members)), "PICKLE_UNPARSEABLE");
}

#[test]
fn a_pickle_is_found_under_any_name_and_however_it_is_built() {
    let with_end = |body: &[u8]| [b"\x80\x04", body, b"."].concat();
    let in_member = |name: &str, bytes: &[u8]| zip(&[member("readme.txt", b"hello"), member(name, bytes)]);
    let cases = [
        ("a module by memo, which is a number", with_end(b"K\x01\x94h\0h\0\x93)R"), "PICKLE_PRESENT"),
        ("a second one behind it", [&with_end(b"N")[..], PICKLE].concat(), "PICKLE_PRESENT"),
        ("protocol 0", b"cos\nsystem\n(S'id'\ntR.".to_vec(), "PICKLE_PRESENT"),
        ("imports, then bytes that are no opcode", [&PICKLE[..15], b"\xff\xff"].concat(), "PICKLE_PRESENT"),
        ("an unknown opcode", with_end(b"\xff"), "PICKLE_UNPARSEABLE"),
        ("a length of 2^63", with_end(b"\x8e\0\0\0\0\0\0\0\x80"), "PICKLE_UNPARSEABLE"),
        ("more opcodes than are followed", with_end(&vec![0x94; 4_000_000]), "PICKLE_UNPARSEABLE"),
        ("as a member of another name", in_member("weights.bin", PICKLE), "PICKLE_PRESENT"),
        (
            "by its name, squeezed",
            zip(&[Member { method: 8, ..member("a/data.PKL", b"x") }]),
            "PICKLE_PRESENT",
        ),
        (
            "as a member with a broken CRC",
            zip(&[Member { crc: 7, ..member("weights.bin", PICKLE) }]),
            "PICKLE_PRESENT",
        ),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(code(&bytes), expected, "{name}");
    }
}

#[test]
fn what_a_pickle_imports_is_kept_up_to_a_bound() {
    let imports: Vec<u8> = (0..10_000).flat_map(|number| format!("cm\na{number}\n").into_bytes()).collect();
    let found = pickle::look(&[b"\x80\x02", &imports[..], b"."].concat()).unwrap();
    assert!(found.complete);
    assert_eq!(found.imports.len(), pickle::IMPORTS_MAX);
}

#[test]
fn safetensors_are_refused_and_their_headers_never_followed() {
    let file = |length: u64, header: &[u8]| [&length.to_le_bytes()[..], header].concat();
    let of = |header: &str| file(header.len() as u64, header.as_bytes());
    let cases = [
        ("overlap", of(r#"{"a":{"data_offsets":[0,8]},"b":{"data_offsets":[4,12]}}"#), "FORMAT_NOT_ALLOWED"),
        ("hole", of(r#"{"a":{"data_offsets":[8,16]}}"#), "FORMAT_NOT_ALLOWED"),
        ("negative", of(r#"{"a":{"data_offsets":[-8,0]}}"#), "FORMAT_NOT_ALLOWED"),
        ("a key twice", of(r#"{"a":{},"a":{}}"#), "FORMAT_NOT_ALLOWED"),
        ("longer than the file", file(100 << 20, b"{"), "FORMAT_NOT_ALLOWED"),
        ("2^63", file(1 << 63, b"{}"), "MODEL_UNREADABLE"),
        ("no object", of("[1]"), "MODEL_UNREADABLE"),
        ("empty", file(0, b"{}"), "MODEL_UNREADABLE"),
        ("a pickle of that name", PICKLE.to_vec(), "PICKLE_PRESENT"),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(code(&bytes), expected, "{name}");
    }
}
