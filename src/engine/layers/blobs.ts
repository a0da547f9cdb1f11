export function createBlobs(_: any): any { return {}; }
