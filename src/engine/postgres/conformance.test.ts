import { after, test } from "node:test";
import { skipWithoutPostgres, startPostgres } from "../../../test/servers/postgres.ts";
import { runConformance } from "../conformance/index.ts";
import { openPostgres } from "./index.ts";

const skip = skipWithoutPostgres();

if (skip !== false) {
  test("the Postgres engine", { skip });
} else {
  const server = await startPostgres();
  const { url } = server;
  let stores = 0;
  runConformance("the Postgres engine", {
    open: () => openPostgres({ url }),
    openSeparate: () => openPostgres({ url, schema: `separate_${stores++}` }),
  });
  after(() => server.stop());
}
