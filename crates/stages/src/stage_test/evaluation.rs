//! The evaluation data as requests, and the model's answers to it.
//!
//! The file is a CSV with a header: the label's column, every other column a feature in the order of the tensor.
//! One input of width K takes K columns; several inputs of one number each take the columns of their names.

use std::cell::RefCell;
use std::rc::Rc;

use domain::model::{Signature, Tensor, TestFile};
use domain::name::Digest;
use serde_json::{Value, json};

use super::{Subject, answer};
use crate::sample;
use crate::trouble::Trouble;

/// Rows of one evaluation.
const ROWS_MAX: usize = 1_000_000;

/// What the model answers to the evaluation data.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answered {
    pub digest: Option<Digest>,
    /// True: the positive class.
    pub labels: Vec<bool>,
    pub predicted: Vec<bool>,
    /// Empty when the model gives none.
    pub scores: Vec<f64>,
}

/// Answered, nothing to ask, or what is wrong as a code and words.
pub(crate) type Answer = Result<Option<Rc<Answered>>, (&'static str, String)>;

/// Asks once.
#[derive(Debug, Default)]
pub(crate) struct Answers(RefCell<Option<Answer>>);

impl Answers {
    pub(super) fn get(&self, subject: &Subject<'_>) -> Result<Answer, Trouble> {
        if let Some(known) = &*self.0.borrow() {
            return Ok(known.clone());
        }
        let answer = match ask(subject) {
            Ok(answered) => Ok(answered.map(Rc::new)),
            Err(Stop::Finding(code, text)) => Err((code, text)),
            Err(Stop::Trouble(trouble)) => return Err(trouble),
        };
        *self.0.borrow_mut() = Some(answer.clone());
        Ok(answer)
    }
}

enum Stop {
    Finding(&'static str, String),
    Trouble(Trouble),
}

impl<T: Into<Trouble>> From<T> for Stop {
    fn from(trouble: T) -> Self {
        Self::Trouble(trouble.into())
    }
}

fn unusable(why: impl Into<String>) -> Stop {
    Stop::Finding("EVALUATION_UNUSABLE", why.into())
}

fn ask(subject: &Subject<'_>) -> Result<Option<Answered>, Stop> {
    let Some(file) = &subject.order.trained.evaluation else { return Ok(None) };
    let bytes = subject.workers.ports.blobs.get(file.sha256)?;
    let signature = &subject.bundle.signature;
    let table = Table::read(&bytes, file, signature)?;
    let outputs = Outputs::of(signature)?;
    let mut answered =
        Answered { digest: Some(file.sha256), labels: table.labels.clone(), ..Answered::default() };
    let rows_per_request = subject.workers.config.test.rows_per_request.max(1);
    for start in (0..table.labels.len()).step_by(rows_per_request) {
        subject.attempt.still_wanted()?;
        let end = (start + rows_per_request).min(table.labels.len());
        let reply = subject.client.infer(&table.request(signature, start, end))?;
        if !reply.is_ok() {
            let text = format!("rows {start} to {end} of the evaluation data get {}", reply.words());
            return Err(Stop::Finding("INFERENCE_FAILED", text));
        }
        outputs.read(&reply.body, end - start, &mut answered)?;
    }
    Ok(Some(answered))
}

/// Whether a file is a table that a model of this signature can be asked about.
pub(crate) fn can_be_asked(bytes: &[u8], file: &TestFile, signature: &Signature) -> bool {
    let Ok(table) = Table::read(bytes, file, signature) else { return false };
    let rows = table.labels.len();
    table.request(signature, 0, rows)["inputs"].as_array().is_some_and(|inputs| !inputs.is_empty())
}

/// The file, as numbers.
struct Table {
    labels: Vec<bool>,
    /// Per input of the signature its columns.
    columns: Vec<Vec<usize>>,
    /// Row after row, the label's column included.
    rows: Vec<Vec<f64>>,
}

impl Table {
    fn read(bytes: &[u8], file: &TestFile, signature: &Signature) -> Result<Self, Stop> {
        let mut reader = csv::Reader::from_reader(bytes);
        let headers: Vec<String> = match reader.headers() {
            Ok(headers) => headers.iter().map(str::to_owned).collect(),
            Err(error) => return Err(unusable(format!("it is no CSV: {error}"))),
        };
        let label = file.label.as_deref().unwrap_or("label");
        let label_at = headers.iter().position(|name| name == label);
        let label_at =
            label_at.ok_or_else(|| unusable(format!("it has no column `{label}` for the label")))?;
        let columns = columns(&headers, label_at, signature)?;
        let mut table = Self { labels: vec![], columns, rows: vec![] };
        for record in reader.records() {
            let record = record.map_err(|error| unusable(format!("it is no CSV: {error}")))?;
            let row: Result<Vec<f64>, _> = record.iter().map(str::trim).map(str::parse::<f64>).collect();
            let line = table.rows.len() + 2;
            let row = row.map_err(|_| unusable(format!("line {line} holds what is no number")))?;
            let truth = match row[label_at] {
                0.0 => false,
                1.0 => true,
                other => return Err(unusable(format!("line {line} has label {other}; expected 0 or 1"))),
            };
            table.labels.push(truth);
            table.rows.push(row);
            if table.rows.len() > ROWS_MAX {
                return Err(unusable(format!("it has more than {ROWS_MAX} rows")));
            }
        }
        if table.rows.is_empty() {
            return Err(unusable("it has no rows"));
        }
        Ok(table)
    }

    fn request(&self, signature: &Signature, start: usize, end: usize) -> Value {
        let tensor = |(input, columns): (&Tensor, &Vec<usize>)| {
            let cells =
                self.rows[start..end].iter().flat_map(|row| columns.iter().map(|column| row[*column]));
            let data: Vec<Value> = cells.map(|cell| number(&input.datatype, cell)).collect();
            sample::tensor_of(input, &sample::shape(input, end - start), &data)
        };
        let inputs: Vec<Value> = signature.inputs.iter().zip(&self.columns).map(tensor).collect();
        json!({ "id": format!("evaluation-{start}"), "inputs": inputs })
    }
}

/// Which columns feed which input.
fn columns(headers: &[String], label_at: usize, signature: &Signature) -> Result<Vec<Vec<usize>>, Stop> {
    if !sample::is_batched(signature) {
        return Err(unusable("the model takes no batches, so its inputs are no table"));
    }
    let width = |input: &Tensor| match input.shape[1..] {
        [] => Some(1),
        [width] => usize::try_from(width).ok(),
        _ => None,
    };
    let features: Vec<usize> = (0..headers.len()).filter(|place| *place != label_at).collect();
    if let [input] = &signature.inputs[..] {
        return match width(input) {
            Some(width) if width == features.len() => Ok(vec![features]),
            Some(width) => {
                let found = features.len();
                Err(unusable(format!("input `{}` is {width} wide, and it has {found} features", input.name)))
            }
            None => Err(unusable(format!("input `{}` is no row of features", input.name))),
        };
    }
    let column = |input: &Tensor| {
        let place = headers.iter().position(|name| **name == *input.name);
        match (width(input), place) {
            (Some(1), Some(place)) => Ok(vec![place]),
            _ => Err(unusable(format!("input `{}` has no column of its name", input.name))),
        }
    };
    signature.inputs.iter().map(column).collect()
}

/// A cell as its datatype writes it.
fn number(datatype: &str, cell: f64) -> Value {
    match datatype {
        "FP32" => json!(f64::from(cell as f32)),
        "BOOL" => json!(cell != 0.0),
        "FP16" | "FP64" | "BF16" => json!(cell),
        _ => json!(cell as i64),
    }
}

/// Where the answers to a binary question stand among the outputs.
struct Outputs<'a> {
    label: Option<&'a Tensor>,
    score: Option<&'a Tensor>,
}

impl<'a> Outputs<'a> {
    /// The class is the output `label`, else the only integer; the score `probability`, else the only real number.
    fn of(signature: &'a Signature) -> Result<Self, Stop> {
        let named = |names: &[&str]| signature.outputs.iter().find(|it| names.contains(&&*it.name));
        let only = |kinds: &[&str]| {
            let mut fitting = signature.outputs.iter().filter(|it| kinds.contains(&&*it.datatype));
            fitting.next().filter(|_| fitting.next().is_none())
        };
        let label = named(&["label", "output_label", "class"]).or_else(|| only(&["INT64", "INT32", "BOOL"]));
        let score = named(&["probability", "probabilities", "output_probability", "score"])
            .or_else(|| only(&["FP32", "FP64"]));
        if label.is_none() && score.is_none() {
            return Err(unusable("the model has neither an output that is a class nor one that is a score"));
        }
        Ok(Self { label, score })
    }

    fn read(&self, body: &Value, rows: usize, answered: &mut Answered) -> Result<(), Stop> {
        let numbers = |tensor: &Tensor| {
            let found = answer::output(body, &tensor.name).and_then(answer::numbers);
            let found = found.filter(|it| it.len() == rows || it.len() == 2 * rows);
            found.ok_or_else(|| {
                let text = format!("output `{}` has not one number a row for {rows} rows", tensor.name);
                Stop::Finding("OUTPUT_SHAPE", text)
            })
        };
        let scores = match self.score {
            None => None,
            Some(tensor) => {
                let found = numbers(tensor)?;
                // Two a row: the second is of the positive class.
                let second = |found: Vec<f64>| found.into_iter().skip(1).step_by(2).collect();
                Some(if found.len() == rows { found } else { second(found) })
            }
        };
        match (self.label, &scores) {
            (Some(tensor), _) => {
                answered.predicted.extend(numbers(tensor)?.iter().take(rows).map(|it| *it > 0.5));
            }
            (None, Some(scores)) => answered.predicted.extend(scores.iter().map(|score| *score >= 0.5)),
            (None, None) => {}
        }
        answered.scores.extend(scores.unwrap_or_default());
        Ok(())
    }
}
