//! Root finding by halving: slow, and certain to end at the same bits everywhere.

/// Halvings until two neighbouring binary64 numbers are left, whatever the bracket.
const HALVINGS_MAX: u32 = 2_200;

/// Finds where `below` turns from true to false in `[lower, upper]`, to neighbouring numbers.
///
/// `below` must be monotone: true left of the root, false right of it. Returns the upper neighbour.
pub(crate) fn bisect<E>(
    mut lower: f64,
    mut upper: f64,
    mut below: impl FnMut(f64) -> Result<bool, E>,
) -> Result<f64, E> {
    for _ in 0..HALVINGS_MAX {
        let middle = lower + (upper - lower) / 2.0;
        if middle <= lower || middle >= upper {
            break;
        }
        if below(middle)? {
            lower = middle;
        } else {
            upper = middle;
        }
    }
    Ok(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_ends_at_neighbouring_numbers() {
        let root = bisect::<()>(0.0, 2.0, |x| Ok(x * x < 2.0)).unwrap();
        assert!((root - std::f64::consts::SQRT_2).abs() <= f64::EPSILON);
    }
}
