import { runConformance } from "../conformance/index.ts";
import { MemoryStore, openMemory } from "./index.ts";

const store = new MemoryStore();

runConformance("the memory engine", {
  open: async () => openMemory({ store }),
  openSeparate: async () => openMemory(),
});
