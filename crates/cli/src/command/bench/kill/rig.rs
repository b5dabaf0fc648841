//! The parent: brings runs in, has its desks carry them out, kills the engine's process and starts it again.
//!
//! ```text
//!   this process                              the one that is killed
//!   triggers ------------------- stdin --->   engine over the data folder
//!   desks, workers, journal <--- stdout ---   (orders, acknowledgements, answers)
//!   ledger
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use domain::name::{AttemptId, TargetId};
use engine::port::journal::Journal;
use rocks::{Folder, NewLog};

use super::super::flow::{Completed, Triggers};
use super::line::{self, Heard, Line, Phases, Told};
use super::worker::{Book, Counting, Gate, look, order};
use crate::config::{Config, Effective};
use crate::node::{CarryOut, DeskMessage, DesksAlone, Message, Orders, messages};

/// Without anything heard for this long something is stuck.
const STUCK: Duration = Duration::from_mins(1);
/// Runs under way at one target: one that has the slot, and one that is queued behind it.
const RUNS_PER_TARGET: usize = 2;
/// The journal is one of a worker, not of a log.
const JOURNAL: NewLog = NewLog { log_id: [1; 16], partitions: 1 };

pub(super) enum Event {
    Up(Phases, Instant),
    /// The first thing that stands in a record of this process.
    FirstStep(Instant),
    Completed(Completed),
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) folder: PathBuf,
    pub(super) targets: usize,
    pub(super) in_flight: usize,
    pub(super) source: String,
    /// The workers are killed too: what the ledger must find out.
    pub(super) workers_die: bool,
}

pub(super) struct Rig {
    plan: Plan,
    pub(super) book: Book,
    pub(super) gate: Arc<Gate>,
    triggers: Arc<Triggers>,
    numbers: u64,
    free: VecDeque<TargetId>,
    line: Arc<Line>,
    reports: Arc<Reports>,
    orders: Orders,
    desks: DesksAlone,
    host: Host,
    journal: Folder,
    events: Receiver<Event>,
    sender: Sender<Event>,
    child: Option<Running>,
}

/// What desks are made with.
struct Host {
    config: Config,
    workers: Arc<dyn CarryOut>,
    journal: Arc<dyn Journal>,
    engine: SyncSender<Message>,
}

impl Host {
    fn start(&self) -> Result<DesksAlone, String> {
        let Self { config, workers, journal, engine } = self;
        DesksAlone::start(config, workers, journal, engine).map_err(|error| error.to_string())
    }
}

/// The engine's process, and the thread that hears it.
struct Running {
    child: Child,
    hears: JoinHandle<std::io::Result<()>>,
}

/// Answers on their way to the engine.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// Whose acknowledgement goes where.
    desks: Mutex<BTreeMap<AttemptId, Sender<DeskMessage>>>,
    /// Answers are lost on the way.
    lost: AtomicBool,
    /// How many were, so far.
    lost_count: AtomicU64,
}

impl Rig {
    pub(super) fn start(plan: Plan) -> Result<Self, String> {
        let mut config = Effective::defaults().parse().map_err(|error| error.to_string())?;
        // A desk takes whatever is under way: what is measured is no lack of workers.
        config.limits.backlog_max = config.limits.backlog_max.max(plan.in_flight * 2);
        std::fs::create_dir_all(&plan.folder)
            .map_err(|error| format!("{}: {error}", plan.folder.display()))?;
        let journal = Folder::open_or_create(&worker_folder(&plan.folder), &JOURNAL);
        let journal = journal.map_err(|error| error.to_string())?;
        let (completes, completed) = channel();
        let (sender, events) = channel();
        let (book, gate) = (Book::default(), Arc::new(Gate::default()));
        let workers: Arc<dyn CarryOut> =
            Arc::new(Counting::new(Arc::clone(&book), Arc::clone(&gate), completes));
        let (engine, told) = messages(config.limits.messages_max);
        let host = Host { config, workers, journal: journal.database(), engine };
        let desks = host.start()?;
        let (line, reports) = (Arc::new(Line::default()), Arc::new(Reports::default()));
        thread("reports", {
            let (line, reports) = (Arc::clone(&line), Arc::clone(&reports));
            move || hand_on(&told, &line, &reports)
        })?;
        thread("completed", {
            let sender = sender.clone();
            move || {
                completed.iter().map(Event::Completed).try_for_each(|event| sender.send(event).map_err(drop))
            }
        })?;
        let targets = (0..plan.targets)
            .map(|number| line::target_of(&format!("model-{number}@production")).map_err(|e| e.to_string()));
        let targets: Vec<TargetId> = targets.collect::<Result<_, _>>()?;
        let free = targets.iter().cycle().take(targets.len() * RUNS_PER_TARGET).cloned().collect();
        let triggers = Arc::new(Triggers::new(plan.source.clone())?);
        let orders = desks.orders();
        let mut rig = Self {
            plan,
            book,
            gate,
            triggers,
            numbers: 0,
            free,
            line,
            reports,
            orders,
            desks,
            host,
            journal,
            events,
            sender,
            child: None,
        };
        rig.spawn()?;
        Ok(rig)
    }

    pub(super) fn data(&self) -> PathBuf {
        data_folder(&self.plan.folder)
    }

    /// The process that runs now.
    pub(super) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, |running| running.child.id())
    }

    /// Starts the engine; when it was told to.
    pub(super) fn spawn(&mut self) -> Result<Instant, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["bench", "node", "--source", &self.plan.source, "--folder"]).arg(self.data());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("the engine does not start: {error}"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err("a process has no pipes".into());
        };
        self.line.connect(stdin);
        let hearing = Hearing {
            orders: self.orders.clone(),
            book: Arc::clone(&self.book),
            triggers: Arc::clone(&self.triggers),
            reports: Arc::clone(&self.reports),
            events: self.sender.clone(),
            stepped: false,
        };
        let hears = std::thread::Builder::new().name("hears".into()).spawn(move || hearing.hear(stdout));
        self.child = Some(Running { child, hears: hears.map_err(|error| error.to_string())? });
        // What nobody has answered is said again: the same trigger is the same run.
        let again = look(&self.book).unanswered();
        let again: Vec<Told> = again.iter().map(|(number, target)| told(*number, target)).collect();
        self.line.tell(&again);
        Ok(began)
    }

    /// As `kill -9` does; what it had said before is still heard.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        let Some(mut running) = self.child.take() else { return Err("nothing runs".into()) };
        running.child.kill().map_err(|error| error.to_string())?;
        self.line.cut();
        running.child.wait().map_err(|error| error.to_string())?;
        let heard = running.hears.join().map_err(|_| "the thread that hears the engine panicked")?;
        heard.map_err(|error| error.to_string())?;
        if self.plan.workers_die {
            std::mem::replace(&mut self.desks, self.host.start()?).stop();
            self.orders = self.desks.orders();
        }
        Ok(())
    }

    /// Answers of workers are lost on their way, or arrive.
    pub(super) fn lose_reports(&self, lost: bool) {
        self.reports.lost.store(lost, Relaxed);
    }

    /// How many answers were lost so far; one that is sent again and lost again counts again.
    pub(super) fn reports_lost(&self) -> u64 {
        self.reports.lost_count.load(Relaxed)
    }

    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    pub(super) fn say(&mut self, wanted_at: Instant) -> Result<(), String> {
        let target = self.free.pop_front().ok_or("no target is free")?;
        self.numbers += 1;
        let run = self.triggers.numbered(self.numbers, &target).run();
        let told = told(self.numbers, &target);
        look(&self.book).say(run, self.numbers, target, wanted_at);
        self.line.tell([&told]);
        Ok(())
    }

    /// The next event; nothing when there was none in time.
    pub(super) fn next(&mut self, within: Duration) -> Result<Option<Event>, String> {
        match self.events.recv_timeout(within) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("nothing is heard any more".into()),
        }
    }

    /// Notes the end of a run; how long it took, unless it had ended before.
    pub(super) fn completed(&mut self, completed: &Completed) -> Option<Duration> {
        let (target, wanted_at) = look(&self.book).end(completed.run)?;
        self.free.push_back(target);
        Some(completed.at.saturating_duration_since(wanted_at))
    }

    /// Until so few are under way, bringing in others meanwhile while `more` says so.
    pub(super) fn run_until(
        &mut self,
        left: usize,
        mut more: impl FnMut(&mut Self) -> Result<bool, String>,
    ) -> Result<(), String> {
        loop {
            while more(self)? {}
            if look(&self.book).open.len() <= left {
                return Ok(());
            }
            match self.next(STUCK)? {
                Some(Event::Completed(completed)) => drop(self.completed(&completed)),
                Some(Event::Up(..) | Event::FirstStep(_)) => {}
                None => return Err(self.stuck()),
            }
        }
    }

    pub(super) fn stuck(&self) -> String {
        let book = look(&self.book);
        let open: Vec<String> =
            book.open.iter().take(3).map(|(run, open)| format!("{run} {open:?}")).collect();
        format!("nothing was heard for {STUCK:?}; {} runs are under way, such as {open:?}", book.open.len())
    }

    /// Ends the engine without a kill, and the desks.
    pub(super) fn stop(mut self) -> Result<Book, String> {
        if let Some(mut running) = self.child.take() {
            self.line.cut();
            let ended = running.child.wait().map_err(|error| error.to_string())?;
            if !ended.success() {
                return Err(format!("the engine ended with {ended}"));
            }
            let heard = running.hears.join().map_err(|_| "the thread that hears the engine panicked")?;
            heard.map_err(|error| error.to_string())?;
        }
        self.gate.open();
        self.desks.stop();
        self.journal.close().map_err(|error| error.to_string())?;
        Ok(self.book)
    }
}

pub(super) fn data_folder(folder: &Path) -> PathBuf {
    folder.join("engine")
}

/// Where the worker's journal is.
pub(super) fn worker_folder(folder: &Path) -> PathBuf {
    folder.join("worker")
}

fn told(number: u64, target: &TargetId) -> Told {
    Told::Trigger { number, target: target.to_string() }
}

fn thread<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Result<(), String> {
    // It ends with the channel that it reads.
    let spawned = std::thread::Builder::new().name(name.into()).spawn(run);
    spawned.map(drop).map_err(|error| error.to_string())
}

/// What the desks say, to the engine.
fn hand_on(told: &Receiver<Message>, line: &Line, reports: &Reports) {
    for message in told {
        match message {
            Message::Report { report, desk } => {
                reports.lock().insert(report.attempt.clone(), desk);
                if reports.lost.load(Relaxed) {
                    reports.lost_count.fetch_add(1, Relaxed);
                } else {
                    line.tell([&Told::of(&report)]);
                }
            }
            Message::Heard { attempt, at } => {
                line.tell([&Told::Heard { attempt: attempt.to_string(), at: at.0 }]);
            }
            Message::Say { .. } | Message::Observed { .. } | Message::Stop => {}
        }
    }
}

impl Reports {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<AttemptId, Sender<DeskMessage>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Hearing {
    orders: Orders,
    book: Book,
    triggers: Arc<Triggers>,
    reports: Arc<Reports>,
    events: Sender<Event>,
    stepped: bool,
}

impl Hearing {
    fn hear(mut self, stdout: ChildStdout) -> std::io::Result<()> {
        let (mut stdout, mut text) = (BufReader::new(stdout), String::new());
        while let Some(heard) = line::read(&mut stdout, &mut text)? {
            match heard {
                Heard::Up(phases) => self.tell(Event::Up(phases, Instant::now())),
                Heard::Answered { number, seq, refused } => {
                    self.stepped();
                    look(&self.book).answered(number, seq, refused.as_deref());
                }
                Heard::Order(work) => {
                    let order = order(*work, &self.triggers)?;
                    look(&self.book).order(&order.command.attempt);
                    self.orders.send(order);
                }
                Heard::Cancel { attempt } => self.orders.cancel(&line::attempt_of(&attempt)?),
                Heard::Acknowledged { attempt } => {
                    self.stepped();
                    let attempt = line::attempt_of(&attempt)?;
                    // One that was sent twice is acknowledged twice.
                    if let Some(desk) = self.reports.lock().remove(&attempt) {
                        drop(desk.send(DeskMessage::Acknowledged(attempt)));
                    }
                }
            }
        }
        Ok(())
    }

    fn stepped(&mut self) {
        look(&self.book).recorded += 1;
        if !std::mem::replace(&mut self.stepped, true) {
            self.tell(Event::FirstStep(Instant::now()));
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more at the end.
        drop(self.events.send(event));
    }
}
