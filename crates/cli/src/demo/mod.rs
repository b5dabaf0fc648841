//! The main job on real input, told as a story: a model goes live, a better one is promoted, a worse one is rolled
//! back, while callers ask and nobody waits.
//!
//! It is a client of a node in the same process, or of many processes over Kafka: everything it does goes over HTTP, as a
//! user would do it. It asserts its own ending.

mod client;
mod ending;
mod fleet;
mod traffic;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::view::{RunView, StageView};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::client::Client;
use self::fleet::Fleet;
use self::traffic::Traffic;
use crate::config::{Config, Effective, Origin};
use crate::node::Node;

/// Where the data folder is put when nobody says.
const DATA: &str = "modelrail-demo";
/// And for the story over Kafka; the file says that it is one.
const DATA_OVER_KAFKA: &str = "modelrail-demo-kafka";
const FLEET_MARK: &str = "DEMO";
/// How long what was killed is away.
const AWAY: Duration = Duration::from_secs(3);
const TARGET: &str = "flights-late@production";
/// How long each part of the story may take.
const PART_MAX: Duration = Duration::from_secs(100);
/// How often a run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// What the story is told with.
#[derive(Debug, Clone)]
pub struct Told {
    pub data: Option<PathBuf>,
    pub examples: Option<PathBuf>,
    pub seed: u64,
    /// The folder of brokers that run, for the story over Kafka.
    pub kafka: Option<PathBuf>,
}

/// Where the story is told.
struct Stage {
    api: SocketAddr,
    gateway: SocketAddr,
    /// With the administrator's token.
    secrets: PathBuf,
    /// What is killed meanwhile, and comes back.
    fleet: Option<Disturbed>,
}

/// A fleet, shared with whatever starts again what was killed.
struct Disturbed {
    fleet: Arc<Mutex<Fleet>>,
    /// Of the brokers.
    script: PathBuf,
    returning: tokio::task::JoinSet<Result<(), Error>>,
}

/// Why the story did not come true.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to find the example models: expected `{0}` to hold v1.json and traffic.csv.gz")]
    Examples(PathBuf),
    #[error("expected `{0}` to be missing or the folder of a former demo, but it is neither")]
    NotOurs(PathBuf),
    #[error("failed to read or write `{path}`")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    #[error("failed to start")]
    Start(#[from] crate::node::StartError),
    #[error("failed to ask {what}: {why}")]
    Asked { what: String, why: String },
    #[error("the story did not come true: {0}")]
    Untrue(String),
}

/// Tells the story. Gives what is worth knowing at its end, or why it did not come true.
pub async fn tell(told: &Told) -> Result<(), Error> {
    let examples = find_examples(told.examples.as_deref())?;
    if let Some(brokers) = &told.kafka {
        return tell_over_kafka(told, brokers, &examples).await;
    }
    let data = told.data.clone().unwrap_or_else(|| PathBuf::from(DATA));
    make_room(&data)?;
    let node = Node::start(&config(&data, &examples)?).await?;
    let (api, gateway) = (node.api, node.gateway_address);
    let mut stage = Stage { api, gateway, secrets: data.clone(), fleet: None };
    let ending = story(told, &mut stage, &examples).await;
    node.stop().await;
    let ending = ending?;
    ending.print(Some(&data));
    ending.check()
}

async fn tell_over_kafka(told: &Told, brokers: &Path, examples: &Path) -> Result<(), Error> {
    let data = told.data.clone().unwrap_or_else(|| PathBuf::from(DATA_OVER_KAFKA));
    let mark = data.join(FLEET_MARK);
    if data.exists() && !mark.is_file() {
        return Err(Error::NotOurs(data));
    }
    let begin = |path: &Path| {
        if path.exists() {
            std::fs::remove_dir_all(path)?;
        }
        std::fs::create_dir_all(path)?;
        std::fs::write(path.join(FLEET_MARK), "")
    };
    begin(&data).map_err(|source| Error::Io { path: data.clone(), source })?;
    let script = examples.join("../../deploy/kafka/broker.sh");
    let fleet = {
        let (data, brokers, examples) = (data.clone(), brokers.to_owned(), examples.to_owned());
        tokio::task::spawn_blocking(move || Fleet::start(&data, &brokers, &examples)).await
    };
    let fleet = fleet.map_err(|error| Error::Untrue(error.to_string()))??;
    eprintln!("{} processes, each with a folder and a log in {}", fleet.count(), data.display());
    let (api, gateway, secrets) = (fleet.api(), fleet.gateway(), fleet.secrets());
    let fleet = Arc::new(Mutex::new(fleet));
    let disturbed = Disturbed { fleet, script, returning: tokio::task::JoinSet::new() };
    let mut stage = Stage { api, gateway, secrets, fleet: Some(disturbed) };
    let ending = story(told, &mut stage, examples).await?;
    ending.print(None);
    ending.check()
}

impl Stage {
    /// Kills processes, and has them come back a little later.
    fn kill(&mut self, lines: &MultiProgress, names: &[&str]) -> Result<(), Error> {
        let Some(Disturbed { fleet, returning, .. }) = &mut self.fleet else { return Ok(()) };
        say(lines, &format!("killed (SIGKILL): {}", names.join(", ")));
        let mut locked = fleet.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().try_for_each(|name| locked.kill(name))?;
        drop(locked);
        let (fleet, names) =
            (Arc::clone(fleet), names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        returning.spawn(async move {
            tokio::time::sleep(AWAY).await;
            let start = move || {
                let mut fleet = fleet.lock().unwrap_or_else(PoisonError::into_inner);
                names.iter().try_for_each(|name| fleet.again(name))
            };
            tokio::task::spawn_blocking(start).await.map_err(|error| Error::Untrue(error.to_string()))?
        });
        Ok(())
    }

    fn kill_broker(&mut self, lines: &MultiProgress, node: usize) -> Result<(), Error> {
        let Some(Disturbed { fleet, script, returning }) = &mut self.fleet else { return Ok(()) };
        say(lines, &format!("killed (SIGKILL): broker {node}"));
        fleet.lock().unwrap_or_else(PoisonError::into_inner).kill_broker(node)?;
        let (fleet, script) = (Arc::clone(fleet), script.clone());
        returning.spawn(async move {
            tokio::time::sleep(AWAY).await;
            let start =
                move || fleet.lock().unwrap_or_else(PoisonError::into_inner).broker_again(&script, node);
            tokio::task::spawn_blocking(start).await.map_err(|error| Error::Untrue(error.to_string()))?
        });
        Ok(())
    }

    /// Waits until all that was killed is back.
    async fn whole_again(&mut self) -> Result<(), Error> {
        let Some(Disturbed { returning, .. }) = &mut self.fleet else { return Ok(()) };
        while let Some(returned) = returning.join_next().await {
            returned.map_err(|error| Error::Untrue(error.to_string()))??;
        }
        Ok(())
    }
}

async fn story(told: &Told, stage: &mut Stage, examples: &Path) -> Result<ending::Ending, Error> {
    let client = Client::new(stage.api, &stage.secrets)?;
    eprintln!("API at http://{}, callers ask at http://{}", stage.api, stage.gateway);
    let people = client.add_people().await?;
    let lines = MultiProgress::new();
    let rows = traffic::read(&examples.join("traffic.csv.gz"), told.seed)?;

    say(&lines, "v1 is trained: nothing is live yet, so it goes out by blue-green");
    let first = client.publish(&examples.join("v1.json"), "flights-blue-green").await?;
    let line = progress(&lines, "v1");
    until(&client, &first, &line, "serves", |run| serves(run) || run.ended).await?;
    let traffic = Arc::new(Traffic::start(stage.gateway, TARGET, rows));
    until(&client, &first, &line, "live", |run| run.state == "live" || run.ended).await?;

    stage.kill(&lines, &["engine-1"])?;
    say(&lines, "v2 is trained: two people of different roles approve, then a canary");
    let second = client.publish(&examples.join("v2.json"), "flights-canary").await?;
    let line = progress(&lines, "v2");
    until(&client, &second, &line, "people", |run| asks_people(run) || run.ended).await?;
    client.approve(&second, &people).await?;
    stage.kill_broker(&lines, 1)?;
    until(&client, &second, &line, "live", |run| run.state == "live" || run.ended).await?;

    say(&lines, "v3 is trained: fine on its own test set, which lacks a part of production");
    let third = client.publish(&examples.join("v3.json"), "flights-canary").await?;
    let line = progress(&lines, "v3");
    until(&client, &third, &line, "people", |run| asks_people(run) || run.ended).await?;
    client.approve(&third, &people).await?;
    stage.kill(&lines, &["package-1", "stage-test-1", "gate-1", "rollout-1", "monitor-1"])?;
    until(&client, &third, &line, "ended", |run| run.ended || run.state == "live").await?;
    // A little longer, so that the end is seen by callers too.
    let after = traffic.answered() + 500;
    traffic.wait_for(after, PART_MAX).await;

    stage.whole_again().await?;
    let served = traffic.stop().await;
    let runs = vec![client.run(&first).await?, client.run(&second).await?, client.run(&third).await?];
    let verified = client.verify().await?;
    Ok(ending::Ending { runs, served, verified })
}

fn say(lines: &MultiProgress, text: &str) {
    if lines.println(format!("\n{text}")).is_err() || !console_is_terminal() {
        eprintln!("\n{text}");
    }
}

fn console_is_terminal() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal()
}

/// The line of one run: redrawn on a terminal, else printed whenever it changes.
struct Line {
    bar: ProgressBar,
    version: &'static str,
}

fn progress(lines: &MultiProgress, version: &'static str) -> Line {
    if !console_is_terminal() {
        lines.set_draw_target(ProgressDrawTarget::hidden());
    }
    let bar = lines.add(ProgressBar::new_spinner());
    bar.set_style(ProgressStyle::with_template("  {spinner} {msg}").expect("a literal template"));
    bar.enable_steady_tick(Duration::from_millis(120));
    Line { bar, version }
}

impl Line {
    fn show(&self, text: &str, shown: &mut String) {
        if *shown == text {
            return;
        }
        text.clone_into(shown);
        if console_is_terminal() {
            self.bar.set_message(text.to_owned());
        } else {
            eprintln!("  {text}");
        }
    }
}

/// Looks at the run until `done`, showing each change.
async fn until(
    client: &Client,
    run: &str,
    line: &Line,
    what: &str,
    done: impl Fn(&RunView) -> bool,
) -> Result<(), Error> {
    let began = std::time::Instant::now();
    let mut shown = String::new();
    loop {
        let view = client.run(run).await?;
        line.show(&format!("{} {}", line.version, in_a_line(&view)), &mut shown);
        if done(&view) {
            if view.state == "live" || view.ended {
                line.bar.finish();
            }
            return Ok(());
        }
        if began.elapsed() > PART_MAX {
            let waits: Vec<_> = view.waits.iter().map(|wait| wait.text.as_str()).collect();
            let text = format!(
                "{} is not `{what}` after {PART_MAX:?}; it waits for: {}",
                line.version,
                waits.join("; ")
            );
            return Err(Error::Untrue(text));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Where the run is: its stages, and the latest numbers.
fn in_a_line(run: &RunView) -> String {
    let stages: Vec<String> =
        run.stages.iter().map(|stage| format!("{} {}", stage.name, mark(stage))).collect();
    let rollout = run.stages.iter().find_map(|stage| {
        let rollout = stage.rollout.as_ref()?;
        let judged = stage.judged.iter().find(|judged| judged.check == "outcome");
        let seen = judged.and_then(|judged| {
            let (value, lower, upper) = (judged.value?, judged.lower?, judged.upper?);
            let points = |share: f64| share * 100.0;
            Some(format!(
                ", label match worse by {:+.1} points [{:+.1}, {:+.1}] after {}",
                points(value),
                points(lower),
                points(upper),
                judged.n
            ))
        });
        (stage.state == "working")
            .then(|| format!(" | {} of callers{}", rollout.weight, seen.unwrap_or_default()))
    });
    format!("{:<11} {}{}", run.state, stages.join(" > "), rollout.unwrap_or_default())
}

fn mark(stage: &StageView) -> &str {
    match stage.state.as_str() {
        "pending" => ".",
        "pass" => "ok",
        other => other,
    }
}

/// Whether its traffic was observed, so that callers may ask.
fn serves(run: &RunView) -> bool {
    run.stages.iter().any(|stage| stage.rollout.as_ref().is_some_and(|rollout| rollout.observed_at.is_some()))
}

fn asks_people(run: &RunView) -> bool {
    run.waits.iter().any(|wait| wait.kind == "people")
}

fn find_examples(given: Option<&Path>) -> Result<PathBuf, Error> {
    let beside_binary =
        std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("../../examples/flights")));
    let places = match given {
        Some(given) => vec![given.to_path_buf()],
        None => [Some(PathBuf::from("examples/flights")), beside_binary].into_iter().flatten().collect(),
    };
    let found =
        places.iter().find(|place| place.join("v1.json").is_file() && place.join("traffic.csv.gz").is_file());
    let found = found.ok_or_else(|| Error::Examples(places[0].clone()))?;
    found.canonicalize().map_err(|source| Error::Io { path: found.clone(), source })
}

/// The folder of a former demo is deleted; anything else is left alone.
fn make_room(data: &Path) -> Result<(), Error> {
    if !data.exists() {
        return Ok(());
    }
    if !crate::node::is_folder(data) {
        return Err(Error::NotOurs(data.to_owned()));
    }
    std::fs::remove_dir_all(data).map_err(|source| Error::Io { path: data.to_owned(), source })
}

fn config(data: &Path, examples: &Path) -> Result<Config, Error> {
    let mut effective = Effective::defaults();
    let text = |path: PathBuf| path.display().to_string();
    for (key, value) in [
        ("store.data", toml::Value::String(text(data.to_owned()))),
        ("workflows.folder", toml::Value::String(text(examples.join("workflows")))),
        ("artifacts.roots", toml::Value::Array(vec![toml::Value::String(text(examples.to_owned()))])),
        ("server.listen", toml::Value::String("127.0.0.1:0".to_owned())),
        ("gateway.listen", toml::Value::String("127.0.0.1:0".to_owned())),
        ("model_server.listen", toml::Value::String("127.0.0.1:0".to_owned())),
    ] {
        effective.set(key, value, Origin::Argument("demo"));
    }
    Ok(effective.parse()?)
}
