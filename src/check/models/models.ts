import type { Model } from "../linearizability/model.ts";
import { counter } from "./counter.ts";
import { fencedMutex } from "./fenced-mutex.ts";
import { fifoQueue } from "./fifo-queue.ts";
import { log } from "./log.ts";
import { casRegister, keyValue, register } from "./register.ts";
import { set } from "./set.ts";
import { unorderedQueue } from "./unordered-queue.ts";

/** The models by name. */
export const models: Readonly<Record<string, Model>> = Object.fromEntries(
  [register, casRegister, keyValue, set, counter, fifoQueue, unorderedQueue, fencedMutex, log].map(
    (model: Model): [string, Model] => [model.name, model],
  ),
);
