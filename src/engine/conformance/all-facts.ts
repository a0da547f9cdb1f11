import { addFacts } from "./add-cases.ts";
import { argumentsFacts } from "./arguments-cases.ts";
import { beginFacts } from "./begin-cases.ts";
import { blobFacts } from "./blob-cases.ts";
import { busFacts } from "./bus-cases.ts";
import { commitFacts } from "./commit-cases.ts";
import { concurrencyFacts } from "./concurrency-cases.ts";
import type { Fact } from "./fact.ts";
import { fenceFacts } from "./fence-cases.ts";
import { hostileFacts } from "./hostile-cases.ts";
import { isolationFacts } from "./isolation-cases.ts";
import { kvFacts } from "./kv-cases.ts";
import { lifecycleFacts } from "./lifecycle-cases.ts";
import { limitsFacts } from "./limits-cases.ts";
import { logFacts } from "./log-cases.ts";
import { rangeCheckFacts } from "./range-check-cases.ts";
import { scopeFacts } from "./scope-cases.ts";
import { transactFacts } from "./transact-cases.ts";
import { ttlFacts } from "./ttl-cases.ts";
import { watchFacts } from "./watch-cases.ts";

/** The contract, sentence by sentence. */
export const allFacts: readonly Fact[] = [
  ...kvFacts,
  ...commitFacts,
  ...rangeCheckFacts,
  ...addFacts,
  ...ttlFacts,
  ...watchFacts,
  ...transactFacts,
  ...fenceFacts,
  ...beginFacts,
  ...isolationFacts,
  ...logFacts,
  ...blobFacts,
  ...busFacts,
  ...scopeFacts,
  ...limitsFacts,
  ...argumentsFacts,
  ...hostileFacts,
  ...concurrencyFacts,
  ...lifecycleFacts,
];
