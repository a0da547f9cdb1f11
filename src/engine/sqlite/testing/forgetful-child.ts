/** A process that neither closes its engine nor waits for its last commit: `node forgetful-child.ts <file>`. */
import { openSqlite } from "../index.ts";

const [file = ""] = process.argv.slice(2);
const engine = await openSqlite({ file });
await engine.kv.set(["awaited"], 1);
void engine.kv.set(["forgotten"], 2);
