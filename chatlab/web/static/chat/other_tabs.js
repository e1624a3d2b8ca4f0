// What other tabs of the same person ask in the conversation that this one shows. Tabs of one browser tell
// each other; of another browser's this one learns when somebody looks at it. The server says whether there
// is news, so that nothing is painted anew without any.

const SOON = 1000; // milliseconds between two looks because somebody came back

export class OtherTabs {
  /**
   * @param {string} root where the app is mounted
   * @param {{ shown: () => string, busy: () => boolean, ask: () => void }} page shown: its conversation;
   *   busy: whether it must not be painted anew now; ask: asks the server for what is new
   */
  constructor(root, page) {
    this.page = page;
    this.news = false;
    this.opened = page.shown(); // what others asked in it while the page was loading, nobody told here
    this.looked = 0;
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel(`chatlab ${root}`) : null;
    this.channel?.addEventListener("message", ({ data }) => {
      if (data !== page.shown()) return;
      this.news = true;
      this.look();
    });
    const back = () => {
      if (document.hidden || !page.shown() || Date.now() - this.looked < SOON) return;
      this.looked = Date.now();
      this.news = true;
      this.look();
    };
    window.addEventListener("focus", back);
    document.addEventListener("visibilitychange", back);
  }

  /**
   * Tells the others that somebody asked in a conversation here. When that with which the page began is
   * painted, it asks them instead.
   *
   * @param {string} conversation
   */
  tell(conversation) {
    if (conversation && conversation === this.opened) this.news = true;
    else this.channel?.postMessage(conversation);
    this.opened = "";
  }

  /** Asks for news that were told, once somebody sees this page and nothing runs on it. */
  look() {
    if (!this.news || document.hidden || this.page.busy()) return;
    this.news = false;
    this.page.ask();
  }
}
