//! The users: an administrator made on the first start, others added by one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use domain::definition::{Define, Kind, Pinned};
use domain::name::{BadName, Digest, Role, Subject};
use domain::roles::{ADMIN, Actor, RoleMap};
use uuid::Uuid;

use super::file;
use crate::view::UserView;

/// The administrator's token, in the data folder, readable by its owner only.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";
const USERS_FILE: &str = "users.json";
const ADMIN_NAME: &str = "admin";
/// The most users that are kept.
const USERS_MAX: usize = 1_024;
/// The issuer of our own tokens, as the log names it.
const ISSUER: &str = "modelrail";
const METHOD: &str = "token";

/// Somebody who holds a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub subject: Subject,
    pub name: String,
    pub roles: BTreeSet<Role>,
    /// May say for whom it acts.
    pub tool: bool,
    pub(super) token_sha256: Digest,
}

/// A user and the token, which is shown once.
#[derive(Clone)]
pub struct NewToken {
    pub user: User,
    pub token: String,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewToken").field("user", &self.user).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read users from `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to write `{path}`")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("expected users in `{path}`, but it cannot be read as such")]
    Malformed {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("expected a name of the form [a-z0-9][a-z0-9._-]{{0,127}}, but found `{0}`")]
    BadUserName(String),
    #[error("expected a new name, but there is a user `{0}`")]
    Exists(String),
    #[error("expected a user, but there is none called `{0}`")]
    Unknown(String),
    #[error("expected at most {USERS_MAX} users, but there are as many already")]
    Full,
    #[error("expected to keep an administrator, but `{0}` is the last one")]
    LastAdmin(String),
}

impl Error {
    /// Stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Write { .. } => "USERS_IO",
            Self::Malformed { .. } => "USERS_MALFORMED",
            Self::BadUserName(_) => "BAD_ID",
            Self::Exists(_) => "USER_EXISTS",
            Self::Unknown(_) => "UNKNOWN_USER",
            Self::Full => "TOO_MANY_USERS",
            Self::LastAdmin(_) => "LAST_ADMIN",
        }
    }
}

/// All users of a data folder.
#[derive(Debug)]
pub struct Users {
    folder: PathBuf,
    list: Mutex<Arc<Vec<User>>>,
    /// Of the file that was read last, to see that another process replaced it.
    seen: Mutex<Option<file::Stamp>>,
}

impl Users {
    /// Reads the users of a data folder; none when there is no list yet.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(USERS_FILE);
        // Before it is read: what replaces it meanwhile is read again.
        let seen = file::stamp(&path)?;
        let list = file::read(&path)?;
        Ok(Self { folder: folder.to_owned(), list: Mutex::new(Arc::new(list)), seen: Mutex::new(seen) })
    }

    /// Reads the list again if another process replaced it. What this one changes it knows by itself.
    pub fn refresh(&self) -> Result<(), Error> {
        let path = self.folder.join(USERS_FILE);
        let mut seen = self.seen.lock().expect("nothing panics while it holds this lock");
        let now = file::stamp(&path)?;
        if *seen == now {
            return Ok(());
        }
        let mut list = self.lock();
        *list = Arc::new(file::read(&path)?);
        *seen = now;
        Ok(())
    }

    /// Whether there is anybody.
    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Makes the administrator and the file with the token, unless they are there and fit. Gives the file's path.
    pub fn create_admin_if_absent(&self) -> Result<PathBuf, Error> {
        let path = self.folder.join(ADMIN_TOKEN_FILE);
        self.change(|users| {
            let known = users.iter_mut().find(|user| user.name == ADMIN_NAME);
            let kept = file::text(&path)?.map(|token| Digest::of(token.trim().as_bytes()));
            if known.as_ref().is_some_and(|user| kept == Some(user.token_sha256)) {
                return Ok(());
            }
            let token = draw_token();
            if let Some(admin) = known {
                // Who can write in the data folder is its administrator: a lost token is replaced.
                admin.token_sha256 = Digest::of(token.as_bytes());
            } else {
                let admin = Role::parse(ADMIN).expect("the role's own name is one");
                users.push(new_user(ADMIN_NAME, BTreeSet::from([admin]), false, &token));
            }
            // Whoever ends between this file and the list leaves a token that opens nothing: it is replaced then.
            file::write_private(&path, format!("{token}\n").as_bytes())
        })?;
        Ok(path)
    }

    /// Adds somebody. The token is in the answer and nowhere else.
    pub fn add(&self, name: &str, roles: &[Role], tool: bool) -> Result<NewToken, Error> {
        // The same form as a role: plain, so that a name cannot look like another.
        Role::parse(name).map_err(|BadName { found, .. }| Error::BadUserName(found))?;
        self.change(|users| {
            if users.iter().any(|user| user.name == name) {
                return Err(Error::Exists(name.to_owned()));
            }
            if users.len() >= USERS_MAX {
                return Err(Error::Full);
            }
            let token = draw_token();
            let user = new_user(name, roles.iter().cloned().collect(), tool, &token);
            users.push(user.clone());
            Ok(NewToken { user, token })
        })
    }

    /// Takes the token and all roles from somebody.
    pub fn revoke(&self, name: &str) -> Result<User, Error> {
        self.change(|users| {
            let Some(index) = users.iter().position(|user| user.name == name) else {
                return Err(Error::Unknown(name.to_owned()));
            };
            let gone = users.remove(index);
            if gone.is_admin() && !users.iter().any(User::is_admin) {
                return Err(Error::LastAdmin(name.to_owned()));
            }
            Ok(gone)
        })
    }

    /// Changes the list as it is on disk by now, one process after the other.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<User>) -> Result<T, Error>) -> Result<T, Error> {
        let path = self.folder.join(USERS_FILE);
        let _others = file::lock(&self.folder)?;
        let mut users = file::read(&path)?;
        let before = users.clone();
        let given = change(&mut users)?;
        if users != before {
            file::write(&path, &users)?;
        }
        *self.lock() = Arc::new(users);
        Ok(given)
    }

    /// By name.
    pub fn list(&self) -> Vec<User> {
        let mut users = Vec::clone(&self.all());
        users.sort_by(|a, b| a.name.cmp(&b.name));
        users
    }

    /// Who holds this token, as far as any process knows. Hashes are compared, so that the time it takes tells nothing of the
    /// token.
    pub fn authenticate(&self, token: &str) -> Option<User> {
        if let Err(error) = self.refresh() {
            tracing::warn!(error = &error as &dyn std::error::Error, "the users could not be read again");
        }
        let sha256 = Digest::of(token.as_bytes());
        self.all().iter().find(|user| user.token_sha256 == sha256).cloned()
    }

    /// The subject of a user by name.
    pub fn subject_of(&self, name: &str) -> Option<Subject> {
        self.all().iter().find(|user| user.name == name).map(|user| user.subject.clone())
    }

    /// An event names its owner as people do; four eyes compares subjects.
    pub fn as_subject(&self, named: Subject) -> Subject {
        self.subject_of(named.as_str()).unwrap_or(named)
    }

    /// Names by subject.
    pub fn names(&self) -> BTreeMap<Subject, String> {
        self.all().iter().map(|user| (user.subject.clone(), user.name.clone())).collect()
    }

    /// Who holds which role.
    pub fn role_map(&self) -> RoleMap {
        let mut map = RoleMap::default();
        for user in self.all().iter() {
            for role in &user.roles {
                map.members.entry(role.clone()).or_default().insert(user.subject.clone());
            }
        }
        map
    }

    /// The role map as it is to be recorded at every start, in the name of an administrator of the list.
    pub fn define(&self) -> Define {
        self.define_by(self.all().iter().find(|user| user.is_admin()).map(|user| user.actor(None)))
    }

    /// The role map as it is to be recorded when `actor` changed the users.
    pub fn define_by(&self, actor: Option<Actor>) -> Define {
        let map = self.role_map();
        let text = wire::roles::render(&map);
        let digest = Digest::of(text.as_bytes());
        let roles = Some(Pinned { digest, value: Arc::new(map) });
        Define { actor, kind: Kind::Roles, digest, text: text.into(), roles }
    }

    fn all(&self) -> Arc<Vec<User>> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Vec<User>>> {
        self.list.lock().expect("nothing panics while it holds this lock")
    }
}

impl User {
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role.as_str() == ADMIN)
    }

    /// How the log names this user.
    pub fn actor(&self, on_behalf_of: Option<Subject>) -> Actor {
        Actor { subject: self.subject.clone(), issuer: ISSUER.into(), method: METHOD.into(), on_behalf_of }
    }

    pub fn view(&self) -> UserView {
        UserView {
            name: self.name.clone(),
            subject: self.subject.to_string(),
            roles: self.roles.iter().map(Role::to_string).collect(),
            tool: self.tool,
        }
    }
}

fn new_user(name: &str, roles: BTreeSet<Role>, tool: bool, token: &str) -> User {
    let subject = Subject::parse(&format!("user-{}", Uuid::new_v4().simple())).expect("plain characters");
    User { subject, name: name.to_owned(), roles, tool, token_sha256: Digest::of(token.as_bytes()) }
}

/// 244 bits drawn by the operating system.
fn draw_token() -> String {
    format!("mr_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
