//! Everything that is wrong here at once, each with what to do.
//!
//! **Invariant:** it only looks: no file is made, no port is kept, and what is begun at a registry is withdrawn.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::argv::Global;
use crate::client::Client;
use crate::config::{self, Config};
use crate::exit::{Exit, Failure};
use crate::node;
use crate::output::{Output, Table};

/// Files of a data folder that only its owner may read.
const SECRETS: [&str; 5] =
    [api::auth::ADMIN_TOKEN_FILE, "users.json", "engine.key", "signing.key", "kill.token"];
/// Before this moment (2026-01-01) a clock is certainly wrong.
const CLOCK_LEAST: Duration = Duration::from_hours(490_896);

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Looked {
    at: &'static str,
    good: bool,
    found: String,
    hint: Option<String>,
}

fn good(at: &'static str, found: impl Into<String>) -> Looked {
    Looked { at, good: true, found: found.into(), hint: None }
}

fn bad(at: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Looked {
    Looked { at, good: false, found: found.into(), hint: Some(hint.into()) }
}

pub(super) async fn doctor(global: &Global, output: Output) -> Result<Exit, Failure> {
    let mut all = vec![clock(), descriptors()];
    match config::load(global.config.as_deref(), global.data.as_deref()) {
        Ok((config, _)) => {
            all.push(good("configuration", "can be used"));
            all.extend(look(global, &config).await);
        }
        Err(error) => all.push(bad(
            "configuration",
            error.to_string(),
            "`deploy/modelrail.toml` has every key with its default and what it means",
        )),
    }
    output.list(&all, text)?;
    Ok(if all.iter().all(|looked| looked.good) { Exit::Good } else { Exit::Failed })
}

async fn look(global: &Global, config: &Config) -> Vec<Looked> {
    let (running, mut all) = folder(&config.store.data);
    all.push(room(&config.store.data, config.limits.disk_free_min_mib));
    all.extend(rights(&config.store.data));
    all.push(workflows(&config.workflows.folder));
    all.extend(roots(&config.artifacts.roots));
    all.extend(registry(config).await);
    if running || global.server.is_some() {
        all.push(server(global).await);
    } else {
        let ports = [
            ("server.listen", config.server.listen),
            ("gateway.listen", config.gateway.listen),
            ("model_server.listen", config.model_server.listen),
        ];
        all.extend(ports.into_iter().map(|(key, address)| port(key, address)));
    }
    all
}

fn clock() -> Looked {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(now) if now >= CLOCK_LEAST => good("clock", "is set"),
        Ok(_) | Err(_) => bad("clock", "is before 2026", "set the clock: recorded time never goes back"),
    }
}

/// Open files that a busy server needs: connections of three listeners, and RocksDB's tables.
const DESCRIPTORS_LEAST: u64 = 4_096;

fn descriptors() -> Looked {
    // The soft bound is the first number of its line; another system has no such file, and other words for it.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    match line.and_then(|line| line.split_whitespace().next()).map(str::parse::<u64>) {
        Some(Ok(count)) if count < DESCRIPTORS_LEAST => bad(
            "open files",
            format!("{count} at most"),
            format!(
                "raise the bound to {DESCRIPTORS_LEAST} or more: `ulimit -n`, or LimitNOFILE of a service"
            ),
        ),
        Some(Ok(count)) => good("open files", format!("{count} at most")),
        Some(Err(_)) => good("open files", "without a bound"),
        None => good("open files", "the bound is not known on this system"),
    }
}

/// Of the disk that the data folder is on, or will be.
fn room(data: &Path, reserve_mib: u64) -> Looked {
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let there = absolute.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    match node::free_bytes(there) {
        Ok(free) if free >> 20 < reserve_mib => bad(
            "disk",
            format!("{} MiB left, fewer than the reserve of {reserve_mib}", free >> 20),
            "free some room: decisions are suspended below limits.disk_free_min_mib",
        ),
        Ok(free) => good("disk", format!("{} MiB left", free >> 20)),
        Err(error) => bad("disk", error.to_string(), "see whether the disk is mounted"),
    }
}

/// Whether we may write the folder, and others may not read its secrets.
fn rights(data: &Path) -> Vec<Looked> {
    if !data.is_dir() {
        return vec![];
    }
    let access = rustix::fs::access(data, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK);
    let mut all = vec![];
    if let Err(error) = access {
        let found = format!("{} cannot be read and written: {error}", data.display());
        all.push(bad("rights", found, "run as the folder's owner, or give it to whom the server runs as"));
    }
    for secret in SECRETS {
        let path = data.join(secret);
        let Ok(meta) = std::fs::metadata(&path) else { continue };
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let found = format!("{} may be read by others (mode {mode:o})", path.display());
            all.push(bad("rights", found, format!("chmod 600 {}", path.display())));
        }
    }
    if all.is_empty() {
        all.push(good("rights", "the folder is ours, and its secrets are"));
    }
    all
}

/// Whether a process has it open, and what was found.
fn folder(path: &Path) -> (bool, Vec<Looked>) {
    let shown = path.display();
    if !path.exists() {
        return (
            false,
            vec![good("data folder", format!("{shown} is not there yet; `modelrail serve` makes it"))],
        );
    }
    if !node::is_folder(path) {
        let found = format!("{shown} is no data folder");
        return (
            false,
            vec![bad("data folder", found, "name another folder with --data, or empty this one")],
        );
    }
    let token = path.join(api::auth::ADMIN_TOKEN_FILE);
    let mut all = vec![];
    if let Err(error) = std::fs::read_to_string(&token) {
        let found = format!("{} cannot be read: {error}", token.display());
        all.push(bad("administrator's token", found, "start the server once, as the same user"));
    }
    match rocks::Folder::open(path) {
        Ok(folder) => {
            all.push(good(
                "data folder",
                format!("{shown} can be opened, {} partitions", folder.partitions()),
            ));
            if let Err(error) = folder.close() {
                all.push(bad("data folder", error.to_string(), error.hint().unwrap_or("look at the disk")));
            }
            (false, all)
        }
        Err(rocks::Error::InUse { .. }) => {
            all.push(good("data folder", format!("{shown} is in use by a process")));
            (true, all)
        }
        Err(error) => {
            let found = format!("{}: {error}", error.code());
            all.push(bad("data folder", found, error.hint().unwrap_or("restore it from a copy")));
            (false, all)
        }
    }
}

fn workflows(folder: &Path) -> Looked {
    match node::load_workflows(folder) {
        Ok(found) if found.0.is_empty() => bad(
            "workflows",
            format!("{} has none", folder.display()),
            "an event that no workflow matches is refused: set workflows.folder",
        ),
        Ok(found) => good("workflows", format!("{} in {}", found.0.len(), folder.display())),
        Err(problems) => bad("workflows", problems, "`modelrail workflow check FILE` shows each in full"),
    }
}

fn roots(roots: &[std::path::PathBuf]) -> Vec<Looked> {
    let missing = roots.iter().filter(|root| !root.is_dir());
    missing
        .map(|root| {
            let found = format!("{} is no folder", root.display());
            bad("artifacts.roots", found, "`file:` artifacts below it cannot be read: mend artifacts.roots")
        })
        .collect()
}

/// Whether bundles can be put there: an upload is begun and withdrawn.
async fn registry(config: &Config) -> Option<Looked> {
    const AT: &str = "blobs.registry";
    let registry = match config.blobs.registry() {
        Ok(registry) => registry?,
        Err(error) => return Some(bad(AT, with_causes(&error), "mend blobs.password")),
    };
    let asked = tokio::task::spawn_blocking(move || registry.check().map_err(|error| with_causes(&error)));
    Some(match asked.await {
        Ok(Ok(())) => good(AT, format!("{} lets us write", config.blobs.registry)),
        Ok(Err(told)) => {
            let (told, hint) = told.split_once("; hint: ").unwrap_or((&told, "see the registry's own log"));
            bad(AT, told, hint)
        }
        Err(error) => bad(AT, error.to_string(), "tell us of it: this is a defect"),
    })
}

/// The causes stand before the hint, which is the last thing told.
fn with_causes(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let (text, hint) = text.split_once("; hint: ").unwrap_or((&text, ""));
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let told: String = causes.fold(text.to_owned(), |told, cause| format!("{told}: {cause}"));
    if hint.is_empty() { told } else { format!("{told}; hint: {hint}") }
}

fn port(key: &'static str, address: SocketAddr) -> Looked {
    match TcpListener::bind(address) {
        Ok(_) => good(key, format!("{address} is free")),
        Err(error) => {
            bad(key, format!("{address}: {error}"), "another process has it: choose another address")
        }
    }
}

async fn server(global: &Global) -> Looked {
    let asked = match Client::server(global) {
        Ok(client) => match client.ready().await {
            Ok(()) => client.get::<api::view::UserView>("/v1/whoami", &[]).await.map(|user| user.name),
            Err(failure) => Err(failure),
        },
        Err(failure) => Err(failure),
    };
    match asked {
        Ok(name) => good("server", format!("answers and knows us as {name}")),
        Err(failure) => {
            let hint = failure.hint.unwrap_or_else(|| "look at the server's log".into());
            bad("server", format!("{}: {}", failure.code, failure.text), hint)
        }
    }
}

fn text(all: &[Looked]) -> String {
    let mut table = Table::new(&["", "AT", "FOUND"]);
    for looked in all {
        let verdict = if looked.good { "good" } else { "BAD" };
        let mut lines = looked.found.lines();
        table.row([verdict.to_owned(), looked.at.to_owned(), lines.next().unwrap_or_default().to_owned()]);
        lines.for_each(|line| table.row([String::new(), String::new(), line.to_owned()]));
        if let Some(hint) = &looked.hint {
            table.row([String::new(), String::new(), format!("hint: {hint}")]);
        }
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_taken_port_and_an_empty_folder_are_told_with_hints() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let found = port("server.listen", address);
        assert!(!found.good && found.hint.is_some());
        let empty = tempfile::tempdir().unwrap();
        assert!(!workflows(empty.path()).good);
        let (running, found) = folder(empty.path());
        assert!(!running && !found[0].good, "{found:?}");
        let (_, found) = folder(&empty.path().join("later"));
        assert!(found[0].good);
    }

    #[test]
    fn a_disk_below_the_reserve_and_secrets_that_others_read_are_told() {
        let data = tempfile::tempdir().unwrap();
        assert!(room(&data.path().join("not/there/yet"), 1).good);
        let full = room(data.path(), u64::MAX);
        assert!(!full.good && full.hint.is_some(), "{full:?}");
        let token = data.path().join("kill.token");
        std::fs::write(&token, "secret").unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o640)).unwrap();
        let found = rights(data.path());
        assert!(!found[0].good && found[0].found.contains("640"), "{found:?}");
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(rights(data.path())[0].good);
    }

    #[test]
    fn findings_stand_in_a_table_with_their_hints() {
        insta::assert_snapshot!(text(&[good("clock", "is set"), bad("workflows", "a\nb", "mend them")]), @r"
              AT         FOUND
        good  clock      is set
        BAD   workflows  a
                         b
                         hint: mend them
        ");
    }
}
