"""Writes the vectors that `tests/oracle.rs` compares with.

Every row is computed by a library that shares nothing with this crate (SciPy, statsmodels, scikit-learn,
gbstats) or, where none has the method, from its definition in 50-digit arithmetic (mpmath).

    python3 -m venv oracle && oracle/bin/pip install scipy statsmodels scikit-learn gbstats mpmath
    oracle/bin/python crates/stats/vectors/make_vectors.py

Format of each file: `#` comments (versions), then rows of comma-separated numbers; a cell that holds a list
separates its numbers by spaces. Floats are written with all their digits.
"""

import math
import pathlib
from importlib.metadata import version

import mpmath
import numpy as np
from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import SampleMeanStatistic
from scipy import optimize, special, stats
from sklearn import metrics
from statsmodels.stats import multitest, proportion

FOLDER = pathlib.Path(__file__).parent
LIBRARIES = ["numpy", "scipy", "statsmodels", "scikit-learn", "gbstats", "mpmath"]
mpmath.mp.dps = 50
random = np.random.default_rng(20261121)


def cell(value):
    if isinstance(value, (list, tuple, np.ndarray)):
        return " ".join(cell(item) for item in value)
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    return repr(float(value))


def write(name, columns, rows):
    versions = ", ".join(f"{library} {version(library)}" for library in LIBRARIES)
    lines = [f"# {versions}", f"# {columns}"] + [",".join(cell(value) for value in row) for row in rows]
    (FOLDER / f"{name}.csv").write_text("\n".join(lines) + "\n")
    print(f"{name}: {len(rows)} rows")


def log_uniform(low, high):
    return float(10 ** random.uniform(math.log10(low), math.log10(high)))


def normal():
    points = [0.0, 1.0, -1.0, 5.5, -20.0, -37.0] + list(random.uniform(-9, 9, 100))
    write("normal_cdf", "x, cdf", [(x, mpmath.ncdf(x)) for x in points])
    probabilities = [0.5, 0.025, 0.975, 1e-300, 1e-50, 0.4999999] + list(random.uniform(0, 1, 60))
    probabilities += [log_uniform(1e-200, 0.1) for _ in range(60)]
    rows = []
    for p in probabilities:
        start = special.ndtri(p)
        exact = mpmath.findroot(lambda x: mpmath.log(mpmath.ncdf(x)) - mpmath.log(mpmath.mpf(p)), start)
        rows.append((p, exact))
    write("normal_quantile", "probability, quantile", rows)


def gamma_and_beta():
    rows = []
    for _ in range(200):
        shape = log_uniform(0.05, 1e6)
        x = max(0.0, shape + math.sqrt(shape) * random.uniform(-4, 6))
        rows.append((shape, x, special.gammainc(shape, x), special.gammaincc(shape, x)))
    write("gamma", "shape, x, lower, upper", rows)
    rows = []
    for _ in range(200):
        a, b = log_uniform(0.1, 1e5), log_uniform(0.1, 1e5)
        mean = a / (a + b)
        deviation = math.sqrt(a * b / (a + b + 1)) / (a + b)
        x = min(max(mean + deviation * random.uniform(-4, 4), 1e-6), 1 - 1e-6)
        rows.append((x, a, b, stats.beta.cdf(x, a, b)))
    write("beta_cdf", "x, a, b, cdf", rows)
    rows = []
    for _ in range(60):
        a, b, q = log_uniform(0.5, 1e4), log_uniform(0.5, 1e4), random.uniform(0.001, 0.999)
        rows.append((q, a, b, stats.beta.ppf(q, a, b)))
    write("beta_quantile", "probability, a, b, quantile", rows)
    rows = []
    for degrees in [1, 2, 3, 9, 19, 50, 200, 5000]:
        for q in [0.001, 0.05, 0.3, 0.5, 0.9, 0.95, 0.99, 0.99999]:
            rows.append((q, degrees, stats.chi2.ppf(q, degrees)))
    write("chi_square_quantile", "probability, degrees, quantile", rows)
    rows = []
    for _ in range(120):
        n = int(log_uniform(1, 1e6))
        p = random.uniform(0.001, 0.999)
        k = int(np.clip(stats.binom.rvs(n, p, random_state=random), 0, n))
        rows.append((k, n, p, stats.binom.cdf(k, n, p)))
    write("binomial_cdf", "events, trials, probability, cdf", rows)


def some_counts():
    n = int(log_uniform(1, 1e6))
    return int(random.binomial(n, random.choice([0.0, 0.01, 0.2, 0.5, 0.97, 1.0]))), n


def proportions():
    rows = []
    for _ in range(200):
        (x, n), confidence = some_counts(), float(random.choice([0.8, 0.95, 0.99, 0.999]))
        lower, upper = proportion.proportion_confint(x, n, 1 - confidence, method="wilson")
        rows.append((x, n, confidence, lower, upper))
    write("wilson", "successes, n, confidence, lower, upper", rows)
    rows = []
    for _ in range(150):
        (x1, n1), (x2, n2) = some_counts(), some_counts()
        lower, upper = proportion.confint_proportions_2indep(x1, n1, x2, n2, method="newcomb", compare="diff", alpha=0.05)
        rows.append((x1, n1, x2, n2, 0.95, lower, upper))
    write("newcombe", "x1, n1, x2, n2, confidence, lower, upper", rows)
    rows = []
    while len(rows) < 150:
        (x1, n1), (x2, n2) = some_counts(), some_counts()
        if 0 < x1 + x2 < n1 + n2:
            z, p = proportion.proportions_ztest([x1, x2], [n1, n2])
            larger = proportion.proportions_ztest([x1, x2], [n1, n2], alternative="larger")[1]
            rows.append((x1, n1, x2, n2, z, p, larger))
    write("z_test", "x1, n1, x2, n2, z, p_two_sided, p_larger", rows)


def ratio():
    rows = [([5050, 4950], [0.5, 0.5]), ([5200, 4800], [0.5, 0.5])]
    for _ in range(100):
        arms = int(random.integers(2, 7))
        shares = random.dirichlet(np.full(arms, 3.0))
        observed = random.multinomial(int(log_uniform(10, 1e6)), random.dirichlet(shares * 1e4))
        rows.append(([int(count) for count in observed], [float(share) for share in shares]))
    out = []
    for observed, shares in rows:
        total, whole = sum(observed), math.fsum(shares)
        test = stats.chisquare(observed, [share / whole * total for share in shares])
        out.append((observed, shares, test.statistic, test.pvalue, sequential_ratio(observed, shares)))
    write("sample_ratio", "observed, shares, statistic, p_value, sequential_p_value", out)


def sequential_ratio(observed, shares):
    """The Bayes factor as a product of predictive probabilities, observation by observation."""
    shares = [mpmath.mpf(share) / mpmath.fsum(shares) for share in shares]
    log_factor, seen = mpmath.mpf(0), mpmath.mpf(0)
    for count, share in zip(observed, shares):
        prior = share * len(shares)
        log_factor += mpmath.log(mpmath.rf(prior, count)) - count * mpmath.log(share)
        seen += count
    log_factor -= mpmath.log(mpmath.rf(mpmath.mpf(len(shares)), seen))
    return min(mpmath.mpf(1), mpmath.exp(-log_factor))


def boundary(n, alpha, n_star, sides):
    """The closed forms in 50 digits; the two-sided one is checked against gbstats in `sequential_mean`."""
    n, alpha, n_star = mpmath.mpf(n), mpmath.mpf(alpha), mpmath.mpf(n_star)
    tuned = alpha if sides == 2 else 2 * alpha
    rho2 = (-2 * mpmath.log(tuned) + mpmath.log(1 - 2 * mpmath.log(tuned))) / n_star
    spread = mpmath.sqrt(n * rho2 + 1)
    reach = mpmath.log(spread / alpha) if sides == 2 else mpmath.log(1 + spread / (2 * alpha))
    return mpmath.sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * reach)


def wilson_exact(x, n, z):
    x, n = mpmath.mpf(x), mpmath.mpf(n)
    p, square = x / n, z * z
    root = z * mpmath.sqrt(p * (1 - p) / n + square / (4 * n * n))
    return (p + square / (2 * n) - root) / (1 + square / n), (p + square / (2 * n) + root) / (1 + square / n)


def sequential():
    rows = []
    for _ in range(100):
        alpha, n_star = float(random.choice([0.05, 0.01, 0.001])), log_uniform(100, 1e5)
        n = log_uniform(10, 1e6)
        rows.append((n, alpha, n_star, boundary(n, alpha, n_star, 1), boundary(n, alpha, n_star, 2)))
    write("sequential_boundary", "n, alpha, n_star, one_sided, two_sided", rows)
    rows = []
    for _ in range(100):
        alpha, n_star = float(random.choice([0.05, 0.01, 0.001])), log_uniform(100, 1e5)
        n_c = int(log_uniform(1, 1e5))
        n_l = int(n_c * log_uniform(0.5, 30)) + 1
        rate = random.choice([0.0, 0.01, 0.2, 0.6, 1.0])
        x_c, x_l = int(random.binomial(n_c, rate)), int(random.binomial(n_l, rate * 0.9))
        m = mpmath.mpf(n_c) * n_l / (n_c + n_l)
        k = mpmath.sqrt(m) * boundary(m, alpha, n_star, 1)
        smooth = [mpmath.mpf(x + 1) / (n + 2) for x, n in [(x_c, n_c), (x_l, n_l)]]
        own = k * mpmath.sqrt(smooth[0] * (1 - smooth[0]) / n_c + smooth[1] * (1 - smooth[1]) / n_l)
        (l_c, u_c), (l_l, u_l) = wilson_exact(x_c, n_c, k), wilson_exact(x_l, n_l, k)
        p_c, p_l = mpmath.mpf(x_c) / n_c, mpmath.mpf(x_l) / n_l
        below = max(own, mpmath.sqrt((p_c - l_c) ** 2 + (u_l - p_l) ** 2))
        above = max(own, mpmath.sqrt((u_c - p_c) ** 2 + (p_l - l_l) ** 2))
        lower, upper = max(-1, p_c - p_l - below), min(1, p_c - p_l + above)
        rows.append((x_c, n_c, x_l, n_l, alpha, n_star, lower, upper))
    write("sequential_difference", "x_c, n_c, x_l, n_l, alpha, n_star, lower, upper", rows)
    rows = []
    for _ in range(100):
        alpha, n_star = float(random.choice([0.05, 0.01])), log_uniform(500, 1e5)
        arms = []
        for _ in range(2):
            n, mean, variance = int(log_uniform(10, 1e5)), random.normal(1, 0.1), log_uniform(0.01, 10)
            arms.append((mean, variance, n, SampleMeanStatistic(n=n, sum=mean * n, sum_squares=variance * (n - 1) + mean * mean * n)))
        config = SequentialConfig(alpha=alpha, sequential_tuning_parameter=n_star, difference_type="absolute")
        # gbstats reports the second arm less the first.
        lower, upper = SequentialTwoSidedTTest(arms[1][3], arms[0][3], config).confidence_interval
        rows.append((*arms[0][:3], *arms[1][:3], alpha, n_star, lower, upper))
    write("sequential_mean", "mean_t, variance_t, n_t, mean_c, variance_c, n_c, alpha, n_star, lower, upper", rows)


def drift():
    rows = []
    for index in range(60):
        n, m = int(random.integers(20, 400)), int(random.integers(20, 400))
        reference = random.normal(0, 1, n) if index % 2 else random.poisson(3, n).astype(float)
        current = random.normal(0.3, 1.2, m) if index % 2 else random.poisson(4, m).astype(float)
        reference, current = np.round(reference, 3), np.round(current, 3)
        ordered = np.sort(reference)
        edges = sorted({float(ordered[-(-n * k // 10) - 1]) for k in range(1, 10)} - {float(ordered[-1])})
        bins = [-np.inf, *edges, np.inf]
        # Right-closed bins by mirroring numpy's left-closed ones.
        count = lambda values: np.histogram(-values, [-edge for edge in bins[::-1]])[0][::-1]
        r, c = count(reference), count(current)
        share = lambda counts: np.where(counts == 0, 0.5, counts) / counts.sum()
        kept = (r > 0) | (c > 0)
        psi = float(np.sum(((share(c) - share(r)) * np.log(share(c) / share(r)))[kept]))
        bound = stats.chi2.ppf(0.95, len(edges)) * (1 / n + 1 / m)
        p_value = stats.chi2.sf(psi / (1 / n + 1 / m), len(edges))
        rows.append((reference, current, edges, r, c, psi, bound, p_value))
    write("psi", "reference, current, edges, reference_counts, current_counts, psi, bound_95, p_value", rows)


def confusion():
    rows = []
    while len(rows) < 100:
        n = int(random.integers(2, 300))
        actual = random.random(n) < random.uniform(0.05, 0.95)
        predicted = np.where(random.random(n) < random.uniform(0.5, 1), actual, ~actual)
        if not (actual.any() and predicted.any()):
            continue
        tn, fp, fn, tp = metrics.confusion_matrix(actual, predicted, labels=[False, True]).ravel()
        lower, upper = proportion.proportion_confint(tp, tp + fp + fn, 0.05, method="wilson")
        rows.append((
            predicted.astype(int), actual.astype(int), tp, fp, fn, tn,
            metrics.accuracy_score(actual, predicted), metrics.precision_score(actual, predicted),
            metrics.recall_score(actual, predicted), metrics.f1_score(actual, predicted),
            2 * lower / (1 + lower), 2 * upper / (1 + upper),
        ))
    write("confusion", "predicted, actual, tp, fp, fn, tn, accuracy, precision, recall, f1, f1_lower, f1_upper", rows)


def delong_variance(positive, negative):
    """By definition, pair by pair."""
    kernel = np.array([[1.0 if p > q else 0.5 if p == q else 0.0 for q in negative] for p in positive])
    return np.var(kernel.mean(axis=1), ddof=1) / len(positive) + np.var(kernel.mean(axis=0), ddof=1) / len(negative)


def newcombe_auc(area, m, n, z):
    variance = lambda a: a * (1 - a) / (m * n) * (1 + ((m + n) / 2 - 1) * ((1 - a) / (2 - a) + a / (1 + a)))
    excess = lambda a: (a - area) ** 2 - z * z * variance(a)
    inside = 0.5 if area == 0.5 else area
    lower = 0.0 if area == 0 else optimize.brentq(excess, 1e-12, inside - 1e-12, xtol=1e-15)
    upper = 1.0 if area == 1 else optimize.brentq(excess, inside + 1e-12, 1 - 1e-12, xtol=1e-15)
    return lower, upper


def scores():
    rows = []
    for index in range(80):
        n = int(random.integers(4, 150))
        labels = random.random(n) < random.uniform(0.2, 0.8)
        labels[:2], labels[2:4] = True, False
        value = special.expit(random.normal(0, 1, n) + labels * random.uniform(0, 3))
        if index % 8 == 0:
            value = 0.4 + 0.2 * labels
        value = np.round(value, 1 if index % 3 == 0 else 4)
        area = metrics.roc_auc_score(labels, value)
        m = int(labels.sum())
        variance = delong_variance(value[labels], value[~labels])
        z = stats.norm.ppf(0.975)
        if 0 < area < 1 and variance > 0:
            half = z * math.sqrt(variance) / (area * (1 - area))
            lower, upper = special.expit(special.logit(area) - half), special.expit(special.logit(area) + half)
        else:
            lower, upper = newcombe_auc(area, m, n - m, z)
        clipped = np.clip(value, 1e-15, 1 - 1e-15)
        rows.append((
            value, labels.astype(int), area, variance, lower, upper,
            metrics.log_loss(labels, clipped, labels=[False, True]), metrics.brier_score_loss(labels, value),
        ))
    write("scores", "scores, labels, auc, delong_variance, auc_lower, auc_upper, log_loss, brier", rows)


def quantiles():
    rows = []
    for _ in range(80):
        n = int(random.integers(1, 120))
        sample = np.sort(np.round(random.lognormal(0, 1, n), 3))
        q = float(random.choice([0.0, 0.1, 0.5, 0.9, 0.99, 1.0, random.uniform(0, 1)]))
        rows.append((sample, q, np.quantile(sample, q)))
    write("quantile", "sorted, probability, quantile", rows)
    rows = []
    while len(rows) < 150:
        n, q = int(log_uniform(1, 1e6)), float(random.choice([0.5, 0.9, 0.95, 0.99, 0.999]))
        confidence = float(random.choice([0.8, 0.95, 0.99]))
        tail = (1 - confidence) / 2
        # ppf(t) is the least k with P(B <= k) >= t; ranks count from 1 and 0 stands for none.
        lower = int(stats.binom.ppf(tail, n, q))
        upper = int(stats.binom.ppf(1 - tail, n, q)) + 1
        if any(abs(stats.binom.cdf(k, n, q) - t) < 1e-12 for k, t in [(lower, tail), (upper - 1, 1 - tail)]):
            continue  # A tie that rounding decides.
        rows.append((n, q, confidence, lower, upper if upper <= n else 0))
    write("quantile_ranks", "n, probability, confidence, lower_or_0, upper_or_0", rows)


def adjusted():
    rows = []
    for _ in range(60):
        p = random.random(int(random.integers(1, 30))) ** 3
        if len(p) > 3:
            p[1] = p[2]
        rows.append((p, multitest.multipletests(p, method="fdr_bh")[1], multitest.multipletests(p, method="holm")[1]))
    write("multiplicity", "p_values, benjamini_hochberg, holm", rows)


def power():
    rows = []
    for _ in range(100):
        live, share = random.uniform(0.001, 0.5), float(random.choice([0.5, 0.05, 0.2]))
        difference = live * random.uniform(0.05, 0.9)
        alpha, wanted = float(random.choice([0.05, 0.01])), float(random.choice([0.8, 0.9]))
        candidate = live + difference
        z = stats.norm.isf(alpha) + stats.norm.isf(1 - wanted)
        n = z * z * (candidate * (1 - candidate) + live * (1 - live) * share / (1 - share)) / difference**2
        n_c, n_l = int(math.ceil(n)), int(math.ceil(n * (1 - share) / share))
        miss = lambda d: d - z * math.sqrt((live + d) * (1 - live - d) / n_c + live * (1 - live) / n_l)
        seen = optimize.brentq(miss, 1e-9, 1 - live, xtol=1e-16)
        tuned = float(random.choice([500.0, 5000.0]))
        excess = lambda c: difference - math.sqrt(
            candidate * (1 - candidate) / c + live * (1 - live) * share / (1 - share) / c
        ) * (math.sqrt(c * (1 - share)) * float(boundary(c * (1 - share), alpha, tuned, 1)) + stats.norm.ppf(wanted))
        sequential_n = math.ceil(optimize.brentq(excess, 0.5, 1e12, rtol=1e-14))
        rows.append((live, difference, share, alpha, wanted, n_c, n_l, seen, tuned, sequential_n))
    write("power", "live, difference, share, alpha, power, n_c, n_l, detectable, n_star, sequential_n_c", rows)


for make in [normal, gamma_and_beta, proportions, ratio, sequential, drift, confusion, scores, quantiles, adjusted, power]:
    make()
