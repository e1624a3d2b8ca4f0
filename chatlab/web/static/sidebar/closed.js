// Whether a person has closed the list beside the page: on both pages, for as long as the browser stores it.

const KEY = "chatlab-sidebar-closed";

export const isClosed = () => {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return false; // a browser that stores nothing
  }
};

/** @param {boolean} closed */
export const storeClosed = (closed) => {
  try {
    if (closed) localStorage.setItem(KEY, "1");
    else localStorage.removeItem(KEY);
  } catch {
    // it is open again on the next page
  }
};
