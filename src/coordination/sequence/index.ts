/** Numbers that are given out once. */
export { createSequence, type IdBlock, type Sequence, type SequenceOptions } from "./sequence.ts";
