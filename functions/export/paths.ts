/** Where the routes of export are. */
export const summaryPath = "/v1/usage";
export const csvPath = "/v1/usage.csv";
export const receiptPath = "/v1/usage.csv.receipt";
/** What a person looks through. */
export const eventsPath = "/v1/usage/events";
export const exportsPath = "/v1/usage/exports";
/** What stands before the id of a request. */
export const usagePath = "/v1/usage/";
export const keysPath = "/.well-known/epithre-receipt-keys.json";
