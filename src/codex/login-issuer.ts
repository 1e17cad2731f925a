import type { Holding } from '../holding.js';
import { checkAccount } from './accounts.js';
import {
  askApproval,
  awaitApproval,
  type DeviceCode,
  type DeviceLoginDeps,
  findDeviceCode,
  requestDeviceCode,
} from './device-login.js';
import { exchangeCode, type LoginCode } from './login-exchange.js';

/** OpenAI as the maker of logins: the router's port LoginIssuer. */
export function loginIssuer(deps: DeviceLoginDeps) {
  return {
    deviceCode: (signal: AbortSignal) => requestDeviceCode(deps, signal),
    deviceCodeOrNone: (signal: AbortSignal) => findDeviceCode(deps, signal),
    approval: (device: DeviceCode, signal: AbortSignal) => awaitApproval(deps, device, signal),
    askApproval: (device: Pick<DeviceCode, 'id' | 'userCode' | 'interval'>, signal: AbortSignal) =>
      askApproval(deps, device, signal),
    exchange: (code: LoginCode) => exchangeCode(deps, code),
    account: (login: Holding, signal: AbortSignal) => checkAccount(deps, login, signal),
  };
}
