/** Stands for a codec that the page does not need: its volumes are NIfTI. */
export default class NoCodec {
  static fromConfig(): never {
    throw new Error("expected NIfTI, got zarr");
  }
}
