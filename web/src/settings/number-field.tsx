/** @file A field for a number in a range, which may be left empty where something else decides. */

interface NumberFieldProps {
  readonly label: string;
  readonly least: number;
  readonly most: number;
  /** 1 where only whole numbers are meant. */
  readonly step: number;
  readonly value: number | null;
  /** Shown while it is empty: what holds then. Without one it must not be empty. */
  readonly otherwise?: string;
  readonly hint?: string;
  readonly onNumber: (value: number | null) => void;
}

/** What is out of range springs back to what was there. */
export function NumberField({ label, least, most, step, value, otherwise, hint, onNumber }: NumberFieldProps) {
  return (
    <label class="field">
      <span class="field-label">{label}</span>
      <input
        type="number"
        min={least}
        max={most}
        step={step}
        placeholder={otherwise}
        value={value ?? ""}
        onChange={({ currentTarget }) => {
          const typed = currentTarget.value.trim();
          const number = step === 1 ? Math.round(Number(typed)) : Number(typed);
          if (typed === "" && otherwise !== undefined) onNumber(null);
          else if (typed !== "" && number >= least && number <= most) onNumber(number);
          else currentTarget.value = value === null ? "" : String(value);
        }}
      />
      {hint && <span class="hint">{hint}</span>}
    </label>
  );
}
