use std::sync::atomic::{AtomicUsize, Ordering};

use engine::port::blobs::{self, Blobs as _};

use super::*;
use crate::address::Plain;
use crate::scripted::{Asked, Said, Scripted};

const UNKNOWN: &[u8] = br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;

fn at(server: &Scripted) -> Registry {
    let repository = Repository::parse(&format!("{}/models", server.url), Plain::Loopback).unwrap();
    Registry::new(repository, Some(Account::new("alice".into(), "open sesame".into())))
}

fn plainly(status: u16) -> Said {
    (status, vec![], vec![])
}

/// A registry that has nothing and takes everything.
fn takes_all(asked: &Asked) -> Said {
    let location = |path: &str| vec![("location", path.to_owned())];
    match asked.line.split(' ').next().unwrap() {
        "POST" => (202, location("/v2/models/blobs/uploads/1?_state=a"), vec![]),
        "PATCH" => (202, location("2?_state=b"), vec![]),
        "PUT" => plainly(201),
        "DELETE" => plainly(204),
        _ => (404, vec![], UNKNOWN.to_vec()),
    }
}

fn lines(server: &Scripted) -> Vec<String> {
    server.asked().iter().map(|asked| asked.line.clone()).collect()
}

/// Texts of the error and all its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn a_blob_is_put_and_kept_a_part_is_put_alone_and_a_manifest_as_what_it_is() {
    let server = Scripted::start(takes_all);
    let registry = at(&server);
    let digest = registry.put(b"abc").unwrap();
    let empty = Digest::of(EMPTY);
    let put = |digest: Digest| {
        [
            format!("HEAD /v2/models/blobs/{digest}"),
            "POST /v2/models/blobs/uploads/".to_owned(),
            format!(
                "PUT /v2/models/blobs/uploads/1?_state=a&digest={}",
                digest.to_string().replace(':', "%3A")
            ),
        ]
    };
    let tag = format!("/v2/models/manifests/blob-{}", digest.hex());
    let kept = [format!("HEAD {tag}"), format!("PUT {tag}")];
    let expected = [&put(digest)[..], &kept[..1], &put(empty)[..], &kept[1..]].concat();
    assert_eq!(lines(&server), expected);
    let before = expected.len();
    registry.put_part(b"def").unwrap();
    assert_eq!(lines(&server)[before..], put(Digest::of(b"def")), "nothing keeps a part");
    let manifest = keeping(b"abc");
    let named = registry.put(&manifest).unwrap();
    let path = format!("/v2/models/manifests/{named}");
    assert_eq!(lines(&server)[before + 3..], [format!("HEAD {path}"), format!("PUT {path}")]);
    let last = server.asked().pop().unwrap();
    assert_eq!((last.header("content-type"), &last.body), (Some(MANIFEST), &manifest));
}

#[test]
fn a_large_blob_goes_in_pieces_and_leads_on_from_each() {
    let server = Scripted::start(takes_all);
    let large = vec![7; 2 * PIECE_BYTES_MAX + 1];
    at(&server).put_part(&large).unwrap();
    let asked = server.asked();
    let pieces: Vec<_> = asked.iter().filter(|asked| asked.line.starts_with("PATCH")).collect();
    let ranges: Vec<_> = pieces.iter().map(|piece| piece.header("content-range").unwrap()).collect();
    let expected = ["0-8388607", "8388608-16777215", "16777216-16777216"];
    assert_eq!(ranges, expected);
    assert_eq!(pieces.iter().map(|piece| piece.body.len()).sum::<usize>(), large.len());
    assert_eq!(pieces[1].line, "PATCH /v2/models/blobs/uploads/2?_state=b");
    let last = asked.last().unwrap();
    assert!(last.line.starts_with("PUT /v2/models/blobs/uploads/2?_state=b&digest="), "{last:?}");
    assert!(last.body.is_empty());
}

#[test]
fn an_upload_that_fails_is_withdrawn() {
    for failing in ["PATCH", "PUT"] {
        let server =
            Scripted::start(
                move |asked| if asked.line.starts_with(failing) { plainly(500) } else { takes_all(asked) },
            );
        let error = at(&server).put(&vec![1; PIECE_BYTES_MAX + 1]).unwrap_err();
        assert!(told(&error).contains("answered 500; hint: the registry is in trouble"), "{}", told(&error));
        assert!(lines(&server).last().unwrap().starts_with("DELETE /v2/models/blobs/uploads/1"));
    }
}

#[test]
fn a_token_is_asked_for_once_and_again_when_it_is_none_any_more() {
    let given = AtomicUsize::new(0);
    let server = Scripted::start(move |asked| {
        if asked.line.starts_with("GET /token") {
            let number = given.fetch_add(1, Ordering::Relaxed) + 1;
            let body = format!(r#"{{"token":"t{number}","expires_in":1}}"#);
            return (200, vec![], body.into_bytes());
        }
        // The second token is the one that lasts.
        let first_is_over = given.load(Ordering::Relaxed) == 1 && asked.line.starts_with("PUT");
        match asked.header("authorization") {
            Some("Bearer t1") if !first_is_over => takes_all(asked),
            Some("Bearer t2") => takes_all(asked),
            _ => {
                let at = asked.header("host").unwrap();
                let scope = "repository:models:pull";
                let value = format!("Bearer realm=\"http://{at}/token\",service=\"here\",scope=\"{scope}\"");
                (401, vec![("www-authenticate", value)], vec![])
            }
        }
    });
    at(&server).put_part(b"abc").unwrap();
    let asked = server.asked();
    let tokens: Vec<_> = asked.iter().filter(|asked| asked.line.starts_with("GET /token")).collect();
    assert_eq!(tokens.len(), 2, "{asked:?}");
    assert_eq!(tokens[0].line, "GET /token?service=here&scope=repository%3Amodels%3Apull%2Cpush");
    let basic = Account::new("alice".into(), "open sesame".into()).basic();
    for asked in &asked {
        let has_password = asked.header("authorization") == Some(&basic);
        assert_eq!(has_password, asked.line.starts_with("GET /token"), "{asked:?}");
    }
}

#[test]
fn what_entitles_us_goes_to_the_registry_alone() {
    let storage = Scripted::start(|asked| {
        if asked.line.starts_with("GET") { (200, vec![], b"abc".to_vec()) } else { plainly(201) }
    });
    let elsewhere = storage.url.clone();
    let server = Scripted::start(move |asked| {
        if asked.header("authorization").is_none() {
            return (401, vec![("www-authenticate", "Basic realm=x".into())], vec![]);
        }
        match asked.line.split(' ').next().unwrap() {
            "POST" => (202, vec![("location", format!("{elsewhere}/upload"))], vec![]),
            "GET" => (307, vec![("location", format!("{elsewhere}/stored"))], vec![]),
            _ => takes_all(asked),
        }
    });
    let registry = at(&server);
    let digest = registry.put_part(b"abc").unwrap();
    assert_eq!(registry.get(digest).unwrap(), b"abc");
    let there = storage.asked();
    assert_eq!(there.len(), 2, "{there:?}");
    assert!(there.iter().all(|asked| asked.header("authorization").is_none()), "{there:?}");
    let unentitled = server.asked().iter().filter(|asked| asked.header("authorization").is_none()).count();
    assert_eq!(unentitled, 1, "asked once, then sent at once");
}

#[test]
fn nobody_is_led_to_where_everybody_can_read_along() {
    // An address that nobody has (TEST-NET-1): it is never called.
    let away = "http://192.0.2.1/x";
    for (challenge, location) in [(Some(away), None), (None, Some(away))] {
        let server = Scripted::start(move |asked| match (challenge, location) {
            (Some(realm), _) => {
                (401, vec![("www-authenticate", format!("Bearer realm=\"{realm}\""))], vec![])
            }
            (None, Some(to)) if asked.line.starts_with("POST") => {
                (202, vec![("location", to.to_owned())], vec![])
            }
            (None, Some(to)) if asked.line.starts_with("GET") => {
                (307, vec![("location", to.to_owned())], vec![])
            }
            (None, _) => takes_all(asked),
        });
        for error in [at(&server).put(b"abc").unwrap_err(), at(&server).get(Digest::of(b"abc")).unwrap_err()]
        {
            assert!(told(&error).contains("http`"), "{}", told(&error));
            assert!(told(&error).contains("expected"), "{}", told(&error));
        }
    }
}

#[test]
fn only_a_registry_says_that_something_is_missing() {
    let digest = Digest::of(b"abc");
    let get = |answer: Said| {
        let server = Scripted::start(move |_| answer.clone());
        at(&server).get(digest)
    };
    assert!(matches!(get((404, vec![], UNKNOWN.to_vec())), Err(blobs::Error::Missing(of)) if of == digest));
    assert!(matches!(get((200, vec![], b"abd".to_vec())), Err(blobs::Error::Corrupt(of)) if of == digest));
    assert_eq!(get((200, vec![], b"abc".to_vec())).unwrap(), b"abc");
    for (answer, hint) in [
        ((404, vec![], b"<html>no such page</html>".to_vec()), "there is no such repository, or no registry"),
        ((403, vec![], UNKNOWN.to_vec()), "this user may not"),
        ((401, vec![("www-authenticate", "Basic realm=x".into())], vec![]), "another user or password"),
        ((503, vec![], vec![]), "asked again later"),
        ((401, vec![("www-authenticate", "Negotiate".into())], vec![]), "neither Basic nor Bearer"),
    ] {
        let error = get(answer).unwrap_err();
        assert!(matches!(error, blobs::Error::Io(_)), "{error:?}");
        assert!(told(&error).contains(hint) && told(&error).contains("get a blob"), "{}", told(&error));
        assert!(!told(&error).contains("sesame"));
    }
}

#[test]
fn a_registry_that_is_not_there_is_told_with_a_hint() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let repository = Repository::parse(&format!("http://{free}/models"), Plain::Loopback).unwrap();
    let registry = Registry::new(repository, None);
    let error = registry.check().unwrap_err();
    assert!(told(&error).contains("hint: see whether the registry is up"), "{}", told(&error));
    assert!(matches!(registry.get(Digest::of(b"abc")), Err(blobs::Error::Io(_))));
    assert!(matches!(registry.contains(Digest::of(b"abc")), Err(blobs::Error::Io(_))));
}

#[test]
fn a_check_begins_an_upload_and_withdraws_it() {
    let server = Scripted::start(takes_all);
    at(&server).check().unwrap();
    let expected = ["POST /v2/models/blobs/uploads/", "DELETE /v2/models/blobs/uploads/1?_state=a"];
    assert_eq!(lines(&server), expected);
}
