/** What one call, or several together, showed. */
export interface LimitSample {
  /** Mean milliseconds from being let in to the end. */
  readonly rttMs: number;
  /** Calls inside when they began, this one included, at most. */
  readonly inFlight: number;
  /** Whether one was refused or timed out by what is overloaded. */
  readonly dropped: boolean;
}

export interface LimitBounds {
  readonly initial: number;
  readonly min: number;
  readonly max: number;
}

/** Finds how many calls at the same time serve best. Keeps a fraction between samples; users round down. */
export interface LimitAlgorithm {
  readonly limit: number;
  sample(sample: LimitSample): void;
}

export type LimitAlgorithmName = "gradient" | "vegas" | "aimd";

export const limitAlgorithms: Readonly<Record<LimitAlgorithmName, (bounds: LimitBounds) => LimitAlgorithm>> = {
  gradient,
  vegas,
  aimd,
};

function clamp(value: number, { min, max }: LimitBounds): number {
  return Math.max(min, Math.min(max, value));
}

/** A limit that is not used says nothing about whether more would do. */
function isUsed(limit: number, inFlight: number): boolean {
  return inFlight >= limit / 2;
}

/** Additive increase, multiplicative decrease (D.-M. Chiu, R. Jain, 1989): one more for each sample, a tenth less for a drop. Looks at drops alone. */
function aimd(bounds: LimitBounds): LimitAlgorithm {
  let limit = bounds.initial;
  return {
    get limit() {
      return limit;
    },
    sample({ inFlight, dropped }) {
      if (dropped) limit = clamp(limit * 0.9, bounds);
      else if (isUsed(limit, inFlight)) limit = clamp(limit + 1, bounds);
    },
  };
}

/**
 * As TCP Vegas (L. Brakmo, L. Peterson, 1995) in Netflix' concurrency-limits: the least latency seen is taken for that of an empty server, so what is above it is queueing, and the
 * limit is moved until a few calls queue. The least latency is forgotten every 30 × limit samples, else a server that became slower for good would be starved.
 */
function vegas(bounds: LimitBounds): LimitAlgorithm {
  let limit = bounds.initial;
  let noLoadMs = Number.POSITIVE_INFINITY;
  let untilProbe = 30 * limit;
  return {
    get limit() {
      return limit;
    },
    sample({ rttMs, inFlight, dropped }) {
      const step = Math.max(1, Math.log10(limit));
      if (--untilProbe <= 0) {
        untilProbe = 30 * limit;
        noLoadMs = rttMs;
        return;
      }
      if (dropped) {
        limit = clamp(limit - step, bounds);
        return;
      }
      noLoadMs = Math.min(noLoadMs, rttMs);
      if (!isUsed(limit, inFlight) || rttMs === 0) return;
      const queued = Math.ceil(limit * (1 - noLoadMs / rttMs));
      if (queued <= step) limit = clamp(limit + 6 * step, bounds);
      else if (queued < 3 * step) limit = clamp(limit + step, bounds);
      else if (queued > 6 * step) limit = clamp(limit - step, bounds);
    },
  };
}

const smoothing = 0.2;
/** How much above the latency without load is still taken for noise. */
const tolerance = 1.5;
/** Samples above that, after which the latency without load is measured anew. */
const doubtsUntilProbe = 100;
/** Calls inside while it is measured: so few hardly queue anywhere. */
const probingCalls = 3;

/**
 * As Envoy's adaptive concurrency filter: the limit falls as latency grows beyond that without load, and grows by its square root when it does not. The latency without load is the least
 * seen; if the present one has been above it for long, either the server is overloaded or it has become slower, and to tell which only a few calls are let in for one sample. (Averages
 * of the past, as Gradient2 in Netflix' concurrency-limits takes them, drift upwards while an overload lasts.) Unlike there, a drop takes a tenth off.
 */
function gradient(bounds: LimitBounds): LimitAlgorithm {
  let limit = bounds.initial;
  let noLoadMs = Number.POSITIVE_INFINITY;
  let doubts = 0;
  let probing = false;
  const few = clamp(probingCalls, bounds);
  return {
    get limit() {
      return probing ? Math.min(few, limit) : limit;
    },
    sample({ rttMs, inFlight, dropped }) {
      if (dropped) {
        limit = clamp(limit * 0.9, bounds);
        return;
      }
      if (probing) {
        // Those that began before the others had left saw their queue.
        if (inFlight > few) return;
        noLoadMs = rttMs;
        probing = false;
        doubts = 0;
        return;
      }
      noLoadMs = Math.min(noLoadMs, rttMs);
      if (!isUsed(limit, inFlight)) return;
      const ratio = rttMs === 0 ? 1 : Math.max(0.5, Math.min(1, (tolerance * noLoadMs) / rttMs));
      limit = clamp(limit * (1 - smoothing) + (limit * ratio + Math.sqrt(limit)) * smoothing, bounds);
      doubts = ratio < 1 ? doubts + 1 : 0;
      probing = doubts >= doubtsUntilProbe;
    },
  };
}
