import { AshlarError } from "../../core/index.ts";

/** Code under simulation used something that cannot be simulated. */
export class SimulationEscapeError extends AshlarError {
  /** @param api what was used, such as "node:child_process spawn" */
  constructor(api: string, instead: string) {
    super(`${api} cannot be simulated; ${instead}`, {
      code: "SIMULATION_ESCAPE",
      definite: true,
      retryable: false,
      details: { api },
    });
  }
}
