/** Calls of admin, with the session that this tab has. */

const place = "epithre-operator";

/** The session's token lives as long as the tab. */
export const session = {
  get token() {
    return sessionStorage.getItem(place);
  },
  begin: (token) => sessionStorage.setItem(place, token),
  end: () => sessionStorage.removeItem(place),
};

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The response of a route, or throws ApiError in admin's own words. The routes are beside the console's folder. */
async function post(path, body) {
  let response;
  try {
    response = await fetch(`..${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(session.token && { authorization: `Bearer ${session.token}` }) },
      body: JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch {
    throw new ApiError(0, "Cannot reach admin: look at the tunnel to the private network, then try again");
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new ApiError(response.status, error?.message ?? "Cannot do this: admin gave no answer; try again");
}

export const ask = async (path, body = {}) => (await post(path, body)).json();
export const download = async (path, body = {}) => (await post(path, body)).blob();
