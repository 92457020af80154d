class r{static fromConfig(){throw new Error("expected NIfTI, got zarr")}}export{r as default};
