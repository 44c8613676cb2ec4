import { describe, expect, test } from "vitest";
import { configShape, invoiceSettings } from "../../functions/billing/config.ts";

const percent = (text: string | undefined) => configShape.ppnBasisPoints.schema.safeParse(text);

describe("ppn_percent", () => {
  test.each([
    [undefined, 1_100],
    ["0", 0],
    ["11", 1_100],
    ["2.5", 250],
    ["0.07", 7],
    ["99.99", 9_999],
  ])("%s is taken as %s basis points", (text, basisPoints) => {
    expect(percent(text)).toEqual({ success: true, data: basisPoints });
  });

  test.each(["", "11%", "11,5", "-1", "100", "1.234", "eleven"])("billing does not start with %j", (text) => {
    expect(percent(text).error?.issues[0]?.message).toBe("must be a percentage such as 11 or 2.5");
  });
});

describe("invoiceSettings()", () => {
  const config = (topUpMinRupiah: number, topUpMaxRupiah: number) => ({ topUpMinRupiah, topUpMaxRupiah }) as Parameters<typeof invoiceSettings>[0];

  test("are refused where no amount would be allowed", () => {
    expect(() => invoiceSettings(config(51_000, 50_000))).toThrow("setting topup_min_rupiah is above topup_max_rupiah");
    expect(invoiceSettings(config(50_000, 50_000))).toMatchObject({ minRupiah: 50_000, maxRupiah: 50_000 });
  });

  test.each(["sellerName", "sellerAddress", "sellerNpwp", "bankName", "bankAccountNumber", "bankAccountHolder"] as const)(
    "%s has to be given: an invoice without it is none (pay.alpha)",
    (name) => {
      for (const wrong of [undefined, "", "  ", "x".repeat(201)]) expect(configShape[name].schema.safeParse(wrong).success).toBe(false);
      expect(configShape[name].schema.safeParse(" Bank Uji ").data).toBe("Bank Uji");
    },
  );
});
