// The end of what is scrolled stays in sight while it grows, for whoever is there, and is left for good by
// scrolling up, by the least turn of a wheel or finger. Of both pages.

const EDGE = 1; // pixels from the end that are the end anyway: sizes are rounded
const TURNED = 250; // milliseconds in which a wheel that turned up, or a finger, moves what is scrolled

/** One thing that is scrolled: where it was, and whether its end stays in sight. */
export class Follower {
  /**
   * @param {Element} scrolled
   * @param {EventTarget} events where its events arrive
   * @param {number} near pixels from the end that still are the end, for whoever scrolls down
   */
  constructor(scrolled, events, near) {
    this.scrolled = scrolled;
    this.near = near;
    this.atEnd = this.left() <= near;
    this.turned = -TURNED;
    this.pulled = false; // by a finger that is lower than where it touched: up, though it trembles
    this.remember();
    const listen = (/** @type {string} */ type, /** @type {(event: any) => void} */ act) =>
      events.addEventListener(type, act, { passive: true });
    listen("scroll", () => {
      this.see();
      this.remember();
    });
    listen("wheel", (/** @type {WheelEvent} */ { deltaY }) => {
      if (deltaY < 0) this.turn(performance.now());
    });
    listen("touchstart", (/** @type {TouchEvent} */ { target, touches }) => {
      const from = touches[0]?.clientY ?? 0;
      this.turned = Infinity;
      this.pulled = false;
      const over = new AbortController();
      const { signal } = over;
      const move = (/** @type {any} */ { touches }) => {
        this.pulled = touches[0].clientY > from;
      };
      const letGo = () => {
        this.turned = performance.now();
        over.abort();
      };
      // What is touched may be drawn anew meanwhile: its own events come all the same.
      target?.addEventListener("touchmove", move, { signal, passive: true });
      for (const type of ["touchend", "touchcancel"]) target?.addEventListener(type, letGo, { signal });
    });
  }

  /** @param {number} when */
  turn(when) {
    this.atEnd = false; // it may move only later
    this.turned = when;
  }

  left() {
    const { scrollHeight, clientHeight, scrollTop } = this.scrolled;
    return scrollHeight - clientHeight - scrollTop;
  }

  remember() {
    this.top = this.scrolled.scrollTop;
    this.height = this.scrolled.scrollHeight;
  }

  /** Sees what was scrolled before its event is told; what merely became shorter is not scrolled. */
  see() {
    const { scrollTop, scrollHeight } = this.scrolled;
    const [top, height] = [this.top ?? 0, this.height ?? 0];
    if (scrollTop < top && scrollHeight >= height) this.atEnd = false;
    else if (
      scrollTop > top ? this.left() <= this.near && !this.isPulled() : this.left() <= EDGE && this.isStill()
    )
      this.atEnd = true;
  }

  isStill() {
    return performance.now() - this.turned > TURNED;
  }

  isPulled() {
    return this.pulled && !this.isStill();
  }
}

/** @type {WeakMap<Element, Follower>} */
const followers = new WeakMap();

/**
 * Keeps the end of what is scrolled in sight for whoever looks at it, while `change` makes it longer.
 *
 * @param {Element} scrolled
 * @param {number} near pixels from the end that still are the end, for whoever scrolls down
 * @param {() => void} change
 */
export const follow = (scrolled, near, change) => {
  const events = scrolled === document.scrollingElement ? document : scrolled;
  const follower = followers.get(scrolled) ?? new Follower(scrolled, events, near);
  followers.set(scrolled, follower);
  follower.see();
  change();
  if (follower.atEnd) scrolled.scrollTop = scrolled.scrollHeight;
  follower.remember();
};
