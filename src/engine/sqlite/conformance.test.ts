import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { runConformance } from "../conformance/index.ts";
import { openSqlite } from "./index.ts";

const folder = mkdtempSync(join(tmpdir(), "ashlar-conformance-"));
let stores = 0;

runConformance("the SQLite engine", {
  open: () => openSqlite({ file: join(folder, "data.db") }),
  openSeparate: () => openSqlite({ file: join(folder, `separate-${stores++}.db`) }),
});

after(() => rmSync(folder, { recursive: true, force: true }));
