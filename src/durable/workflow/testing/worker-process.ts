import { connect } from "../../../index.ts";
import { createWorkflows } from "../index.ts";
import { transfer, workflowsOptions } from "./bank.ts";

/** A process that carries transfers on until it is killed. */
const [url = ""] = process.argv.slice(2);
const engine = await connect(url);
createWorkflows(engine, [transfer], workflowsOptions).work();
process.stdout.write("ready\n");
