"""Standard errors of a linear regression where errors differ in spread and few rows may be behind a coefficient."""

from __future__ import annotations

import numpy as np

from pilotlm.measures.intervals import FloatArray

_ALL = 1 - 1e-9
"""A row with a leverage beyond this determines its own fitted value."""


def hc2(
    predictors: FloatArray, bread: FloatArray, squares: FloatArray, weights: FloatArray, contrasts: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The HC2 covariance of a regression and Bell & McCaffrey's degrees of freedom, for several draws of rows at once.

    HC2 divides each squared residual by one less its leverage, which makes it unbiased where spreads are equal. The
    usual n - k degrees of freedom overstate what is known of a coefficient that few rows tell of, such as that of a
    rare level; Satterthwaite's approximation with equal spreads counts these rows.

    Parameters
    ----------
    predictors : (n, k) float array
        The columns.
    bread : (r, k, k) float array
        The inverse of the weighted cross products in each draw.
    squares : (r, n) float array
        Squared residuals.
    weights : (r, n) float array
        How often each row is drawn.
    contrasts : (j, k) float array
        What the degrees of freedom are wanted of: combinations of the coefficients.

    Returns
    -------
    covariance : (r, k, k) float array
        Of the coefficients.
    freedom : (r, j) float array
        Of t for each contrast; nan where it rests on a row that determines its own fitted value, such as the only one
        of a level: the data then say nothing of its standard error, whatever the covariance has.

    References
    ----------
    MacKinnon & White (1985), Some heteroskedasticity-consistent covariance matrix estimators with improved finite
    sample properties, Journal of Econometrics 29, 305-325; Bell & McCaffrey (2002), Bias reduction in standard errors
    for linear regression with multi-stage samples, Survey Methodology 28, 169-181; Imbens & Kolesár (2016), Robust
    standard errors in small samples: some practical advice, Review of Economics and Statistics 98, 701-712.
    """
    k = predictors.shape[1]
    products = (predictors[:, :, None] * predictors[:, None, :]).reshape(len(predictors), -1)
    leverage = bread.reshape(len(bread), -1) @ products.T
    known = (leverage < _ALL) & (weights > 0)
    left = np.where(known, 1 - leverage, 1.0)
    meat = ((weights * known * squares / left) @ products).reshape(-1, k, k)
    freedom = np.full((len(bread), len(contrasts)), np.nan)
    for place, contrast in enumerate(contrasts):
        pull = np.square((bread @ contrast) @ predictors.T)
        # The eigenvalues of the quadratic form have this sum and this sum of squares.
        total = (weights * pull).sum(axis=1)
        alone = (weights * np.where(leverage < _ALL, 0.0, pull)).sum(axis=1) > 1e-9 * total
        share = weights * known * pull / left
        crossed = (share @ products).reshape(-1, k, k) @ bread
        second = (crossed * crossed.transpose(0, 2, 1)).sum(axis=(1, 2))
        second += (share * pull / left * (1 - 2 * leverage)).sum(axis=1)
        freedom[:, place] = np.where(alone, np.nan, np.square((weights * known * pull).sum(axis=1)) / second)
    return bread @ meat @ bread, freedom
