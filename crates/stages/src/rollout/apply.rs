//! Makes the gateways obey a table, and tells what they obey.

use domain::work::{self, Outcome};

use crate::trouble::Trouble;
use crate::{Attempt, Workers};

pub(crate) fn carry_out(
    workers: &Workers,
    attempt: Attempt<'_>,
    order: &work::Apply,
) -> Result<Outcome, Trouble> {
    attempt.step("applying the route table")?;
    let gateways = workers.ports.routers.apply(&order.table)?;
    if gateways.is_empty() {
        return Err(Trouble::NoGateway);
    }
    Ok(Outcome::Applied { gateways })
}
