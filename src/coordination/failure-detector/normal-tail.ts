/** −log₁₀ of the chance that a normally distributed value lies more than `z` standard deviations above the mean. Exact to about 13 digits, for any `z`. */
export function negativeLogTail(z: number): number {
  if (z === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  // Below the mean the chance is near 1: its logarithm is that of the complement.
  if (z < 0) return -Math.log1p(-tail(-z)) / Math.LN10;
  if (z < 2 * Math.SQRT2) return -Math.log10(tail(z));
  // The tail itself underflows at 39 standard deviations; its logarithm does not.
  const x = z / Math.SQRT2;
  return (x * x) / Math.LN10 - Math.log10(scaledComplement(x) / 2);
}

/** The inverse: how many standard deviations above the mean that is. `phi` above 0. */
export function deviationsAt(phi: number): number {
  let low = -40;
  let high = 40;
  while (negativeLogTail(high) < phi) high *= 2;
  // Bisection until two neighbouring numbers are left.
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return high;
    if (negativeLogTail(middle) < phi) low = middle;
    else high = middle;
  }
}

/** The chance of more than `z` ≥ 0 standard deviations above the mean. */
function tail(z: number): number {
  const x = z / Math.SQRT2;
  return x < 2 ? (1 - errorFunction(x)) / 2 : (Math.exp(-x * x) * scaledComplement(x)) / 2;
}

/** erf(x) for 0 ≤ x < 2 by the series whose terms are all positive (Abramowitz & Stegun 7.1.6), so nothing cancels. */
function errorFunction(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** exp(x²) · erfc(x) for x ≥ 2 by its continued fraction (Abramowitz & Stegun 7.1.14), from its far end. */
function scaledComplement(x: number): number {
  let fraction = x;
  for (let n = 100; n >= 1; n--) fraction = x + n / 2 / fraction;
  return 1 / (Math.sqrt(Math.PI) * fraction);
}
