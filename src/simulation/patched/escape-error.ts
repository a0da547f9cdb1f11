import { AshlarError } from "../../core/index.ts";

/**
 * Code under simulation used something that the simulator cannot make repeatable. Nothing was done. `details` is
 * `{ api, instead }`.
 */
export class SimulationEscapeError extends AshlarError {
  constructor(api: string, instead: string) {
    super(`${api} cannot be simulated: ${instead}`, {
      code: "SIMULATION_ESCAPE",
      definite: true,
      retryable: false,
      details: { api, instead },
    });
  }
}

Object.defineProperty(SimulationEscapeError.prototype, "name", {
  value: "SimulationEscapeError",
  writable: true,
  configurable: true,
});
