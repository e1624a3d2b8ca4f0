// What the server puts before a script that it writes into the page's head.

/** The hosts that links of the conversation may lead to. */
declare const allowed: string[];

interface Window {
  /** The words of the page's language, by key. */
  chatlabWords?: Record<string, string>;
  /** How many things that were asked to be shown in the conversation's place are not answered yet. */
  chatlabOpening?: number;
  /** What Gradio's page is made of. */
  gradio_config?: {
    components: { props: { elem_id?: string; watermark?: string } }[];
    max_file_size?: number | null;
  };
}
declare const chatlabWords: Record<string, string>;
