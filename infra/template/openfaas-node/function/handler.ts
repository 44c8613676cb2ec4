/** Says what came of a request. What it needs, such as a database, comes in as an argument. */
export function createHandler(): (request: Request) => Promise<Response> {
  return async function newFunction(request) {
    return Response.json({ method: request.method });
  };
}
