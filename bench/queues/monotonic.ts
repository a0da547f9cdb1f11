/** Milliseconds of CLOCK_MONOTONIC, the same in all processes of the machine. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
